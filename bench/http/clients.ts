import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';
import { Pool } from 'undici';
import { peers } from '../cases.ts';
import type { Call } from '../peers/peer.ts';

/** How many requests are under way at a time, and how many connections there are for them. */
export const connections = 64;

/** What functions of ours and cockatiel's get; opossum's and a bare call's get nothing. */
interface Context {
  readonly signal: AbortSignal;
}

/** Asks once and reads the answer to its end. */
type Ask = (context?: Context) => Promise<unknown>;

/** The platform's two ways to ask. */
export interface Platform {
  /** Without a signal. */
  readonly plain: Ask;
  /** The signal of the call is passed on. */
  readonly passing: Ask;
  readonly url: string;
  close(): Promise<void>;
}

export const platforms: Readonly<Record<'undici' | 'fetch', (url: string) => Platform>> = {
  undici(url) {
    const pool = new Pool(url, { connections });
    const ask = async (signal?: AbortSignal) => {
      const { body } = await pool.request({ path: '/', method: 'GET', ...(signal && { signal }) });
      return body.json();
    };
    return { plain: () => ask(), passing: (context) => ask(context!.signal), url, close: () => pool.close() };
  },
  fetch(url) {
    const ask = async (signal?: AbortSignal) => (await fetch(url, signal && { signal })).json();
    return { plain: () => ask(), passing: (context) => ask(context!.signal), url, close: async () => {} };
  },
};

const around = async (peer: string, fn: Ask): Promise<Call> =>
  (await peers[peer]!()).five({ kind: 'immediate', fn: fn as () => unknown, limit: connections });

interface Clients {
  readonly on: keyof typeof platforms;
  readonly by: Readonly<Record<string, (on: Platform) => Call | Promise<Call>>>;
}

/** The bare call beside itself: how far off a ratio may be just now. */
const itself = ({ plain }: Platform): Call => plain;

/** By row: what stands beside the bare call, which passes no signal. */
export const clients: Readonly<Record<string, Clients>> = {
  undici: {
    on: 'undici',
    by: {
      bare: itself,
      ours: ({ plain }) => around('ours', plain),
      cockatiel: ({ plain }) => around('cockatiel', plain),
      opossum: ({ plain }) => around('opossum', plain),
    },
  },
  'undici, signal': {
    on: 'undici',
    by: {
      ours: ({ passing }) => around('ours', passing),
      cockatiel: ({ passing }) => around('cockatiel', passing),
      'AbortSignal.timeout':
        ({ passing }) =>
        () =>
          passing({ signal: AbortSignal.timeout(1_000) }),
    },
  },
  fetch: {
    on: 'fetch',
    by: {
      bare: itself,
      ours: ({ plain }) => around('ours', plain),
      cockatiel: ({ plain }) => around('cockatiel', plain),
      opossum: ({ plain }) => around('opossum', plain),
    },
  },
  'fetch, signal': {
    on: 'fetch',
    by: {
      ours: ({ passing }) => around('ours', passing),
      'ours, resilientFetch': ({ url }) => {
        const policies = [
          fallback(() => Response.error()),
          retry(),
          circuitBreaker(),
          bulkhead({ limit: connections }),
          timeout(10_000),
        ];
        const http = resilientFetch(pipeline('http', policies, { telemetry: false }));
        return async () => (await http(url)).json();
      },
      cockatiel: ({ passing }) => around('cockatiel', passing),
      'AbortSignal.timeout':
        ({ passing }) =>
        () =>
          passing({ signal: AbortSignal.timeout(1_000) }),
    },
  },
};
