import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** A real server on 127.0.0.1, with what tests ask of it. */
export interface TestServer extends AsyncDisposable {
  readonly url: string;
  /** What arrived, in order; `body` is complete when the request has ended. */
  readonly requests: Received[];
  /** Connections that are open now and have brought a request; a client may open another one in reserve. */
  readonly sockets: ReadonlySet<Socket>;
  /** Connections made since the start. */
  readonly connections: number;
  close(): Promise<void>;
}

export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  body: string;
}

/** Starts one; each request is answered by `listener`, after its body has been read. */
export async function serve(
  listener: (request: Received, response: ServerResponse, index: number, raw: IncomingMessage) => void,
): Promise<TestServer> {
  const requests: Received[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const handler: RequestListener = (raw, response) => {
    const request: Received = { method: raw.method!, url: raw.url!, headers: raw.headers, body: '' };
    const index = requests.push(request) - 1;
    sockets.add(raw.socket);
    raw.setEncoding('latin1').on('data', (chunk) => (request.body += chunk));
    raw.on('error', () => {});
    raw.on('end', () => listener(request, response, index, raw));
  };
  const server = createServer({ keepAliveTimeout: 60_000 }, handler);
  server.on('connection', (socket) => {
    connections++;
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    requests,
    sockets,
    get connections() {
      return connections;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A port of 127.0.0.1 where nobody listens. */
export async function refusedUrl(): Promise<string> {
  const server = await serve(() => {});
  await server.close();
  return server.url;
}

/** Waits until `test` says yes, a few milliseconds at a time; fails with `what` after some five seconds. */
export async function until(what: string, test: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1_000; tries++) {
    if (test()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`waited in vain until ${what}`);
}

/** Lets the collector run, and what it calls. */
export async function collect(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    globalThis.gc!();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
