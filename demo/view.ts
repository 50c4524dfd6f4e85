import { styleText } from 'node:util';
import type { RouteNow } from './load.ts';
import type { Phase } from './timetable.ts';

/** Everything one moment of the view shows. */
export interface Frame {
  readonly elapsedMs: number;
  readonly phases: readonly Phase[];
  readonly phase: number;
  readonly protected: RouteNow;
  readonly plain: RouteNow;
  /** Retries in the last second. */
  readonly retries: number;
  readonly circuit: string;
}

export type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan';

/** Colours a text, or leaves it as it is. */
export type Paint = (style: Style, text: string) => string;

export const noPaint: Paint = (_, text) => text;

const columns = ['calls/s', 'success', 'fallback', 'failure', 'retries', 'in flight', 'p50', 'p99'];
const widths = columns.map((column) => Math.max(column.length, 6) + 1);

/** The live view as lines, laid out for a terminal of `width` columns, 80 or more. */
export function draw(frame: Frame, width: number, paint: Paint): string[] {
  const { phases, phase } = frame;
  const now = phases[phase]!;
  const seconds = (ms: number) => (ms / 1000).toFixed(1);
  const last = phases.at(-1)!;
  const lines = [
    ...bar(frame, Math.min(width, 100) - 4, paint),
    '',
    `${paint('bold', now.health.toUpperCase())}  ${paint('dim', `${seconds(Math.min(frame.elapsedMs, last.to))} s of ${seconds(last.to)} s`)}`,
    `upstream    ${now.upstream}`,
    `policies    ${now.policies}`,
    '',
    `${' '.repeat(12)}${columns.map((column, index) => column.padStart(widths[index]!)).join('')}`,
    `${paint('bold', 'seaworthy')}   ${cells(frame.protected, String(frame.retries), paint)}`,
    `plain fetch ${cells(frame.plain, '-', paint)}`,
    '',
    `circuit     ${circle(frame.circuit, paint)}`,
  ];
  return lines.map((line) => `  ${line}`);
}

/** The view as one line, for logs and pipes. */
export function line({ elapsedMs, circuit, retries, protected: ours, plain }: Frame): string {
  const seconds = `${(elapsedMs / 1000).toFixed(0).padStart(3)} s`;
  const mine = `success ${ours.success}, fallback ${ours.fallback}, failure ${ours.failure}, retries ${retries}, circuit ${circuit}, in flight ${ours.inFlight}, p50 ${wait(ours.p50)}, p99 ${wait(ours.p99)}`;
  return `${seconds}  ${ours.calls} calls/s: ${mine} | plain fetch: success ${plain.success}, failure ${plain.failure}, in flight ${plain.inFlight}, p99 ${wait(plain.p99)}`;
}

/** What a phase is about, when it begins. */
export function heading({ health, upstream, policies }: Phase): string[] {
  return ['', `${health.toUpperCase()}: the upstream ${upstream}`, `  ${policies}`];
}

/** A wait as people say it. */
export function wait(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** One stretch per phase, as long as the phase, with its name above. */
function bar({ phases, elapsedMs }: Frame, width: number, paint: Paint): string[] {
  const total = phases.at(-1)!.to;
  const names: string[] = [];
  const stretches: string[] = [];
  for (const { health, from, to } of phases) {
    const length = Math.max(health.length, Math.round(((to - from) / total) * width) - 1);
    const filled = Math.round(length * Math.min(1, Math.max(0, (elapsedMs - from) / (to - from))));
    names.push(health.padEnd(length));
    stretches.push(paint(colourOf(health), '█'.repeat(filled)) + paint('dim', '░'.repeat(length - filled)));
  }
  return [names.join(' '), stretches.join(' ')];
}

function colourOf(health: Phase['health']): Style {
  if (health === 'healthy') return 'green';
  return health === 'failing' || health === 'down' ? 'red' : 'yellow';
}

function cells(route: RouteNow, retries: string, paint: Paint): string {
  const texts = [
    route.calls,
    route.success,
    route.fallback,
    route.failure,
    retries,
    route.inFlight,
    wait(route.p50),
    wait(route.p99),
  ];
  const styles: (Style | undefined)[] = [
    undefined,
    'green',
    route.fallback > 0 ? 'yellow' : 'dim',
    route.failure > 0 ? 'red' : 'dim',
  ];
  return texts
    .map((text, index) => {
      const cell = String(text).padStart(widths[index]!);
      const style = styles[index];
      return style === undefined ? cell : paint(style, cell);
    })
    .join('');
}

function circle(state: string, paint: Paint): string {
  if (state === 'closed') return paint('green', '● closed: calls go through');
  if (state === 'open') return paint('red', '○ open: no call is made, fallback answers at once');
  if (state === 'half_open') return paint('yellow', '◐ half-open: a few probes find out');
  return state;
}

/** Where the view goes: a terminal is redrawn in place, anything else gets a line per second. */
export interface Screen {
  show(frame: Frame): void;
  /** Leaves the last frame standing. */
  close(): void;
}

export function screenOn(stream: NodeJS.WriteStream): Screen {
  return stream.isTTY ? terminal(stream) : log(stream);
}

/** Colours for `stream`, when it takes them. */
export function paintFor(stream: NodeJS.WriteStream): Paint {
  return stream.isTTY ? (style, text) => styleText(style, text, { stream }) : noPaint;
}

function terminal(stream: NodeJS.WriteStream): Screen {
  const paint = paintFor(stream);
  let height = 0;
  return {
    show(frame) {
      const lines = draw(frame, stream.columns ?? 80, paint);
      // Hidden cursor, and no wrapping: a line too many would be left behind when the view is drawn again.
      const home = height > 0 ? `\x1b[${height}A` : '\x1b[?25l\x1b[?7l';
      stream.write(`${home}\r${lines.map((text) => `${text}\x1b[K\n`).join('')}`);
      height = lines.length;
    },
    close() {
      if (height > 0) stream.write('\x1b[?25h\x1b[?7h');
      height = 0;
    },
  };
}

function log(stream: NodeJS.WriteStream): Screen {
  let phase = -1;
  let second = 0;
  return {
    show(frame) {
      if (frame.phase !== phase) {
        phase = frame.phase;
        stream.write(`${heading(frame.phases[phase]!).join('\n')}\n`);
      }
      if (Math.floor(frame.elapsedMs / 1000) === second) return;
      second = Math.floor(frame.elapsedMs / 1000);
      stream.write(`${line(frame)}\n`);
    },
    close() {},
  };
}
