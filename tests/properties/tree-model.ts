/**
 * What a call looks like from far away: a tree of parts, in which each part starts what is inside it, hears how that ended,
 * may be given up from outside, and does nothing after its end. No promise, no signal; only lists.
 */
export type Link =
  | { readonly is: 'retry'; readonly maxRetries: number; readonly pauseMs: number }
  | { readonly is: 'timeout'; readonly ms: number; readonly waits: boolean }
  | { readonly is: 'around'; readonly does: Middleware };
export type Middleware = 'pass' | 'again' | 'race' | 'any' | 'all' | 'early' | 'tells' | 'limits';

interface Alarm {
  readonly due: number;
  /** Alarms of one group that are due together go off together. */
  readonly group: object;
  readonly fire: () => void;
}

/** Time, and what happens soon. */
export class Timeline {
  now = 0;
  private alarms: Alarm[] = [];
  private micro: (() => void)[] = [];
  private macro: (() => void)[] = [];

  soon(step: () => void): void {
    this.micro.push(step);
  }

  nextTurn(step: () => void): void {
    this.macro.push(step);
  }

  at(due: number, group: object, fire: () => void): Alarm {
    const alarm = { due, group, fire };
    this.alarms.push(alarm);
    return alarm;
  }

  cancel(alarm: Alarm | undefined): void {
    this.alarms = this.alarms.filter((other) => other !== alarm);
  }

  flush(): void {
    for (let step = this.next(); step !== undefined; step = this.next()) step();
  }

  private next(): (() => void) | undefined {
    return this.micro.shift() ?? this.macro.shift();
  }

  pass(ms: number): void {
    this.flush();
    const target = this.now + ms;
    for (;;) {
      const [first] = this.alarms.toSorted((a, b) => a.due - b.due);
      if (first === undefined || first.due > target) break;
      this.now = first.due;
      for (const alarm of this.alarms.filter(({ due, group }) => due === first.due && group === first.group))
        if (this.alarms.includes(alarm)) {
          this.cancel(alarm);
          alarm.fire();
        }
      this.flush();
    }
    this.now = target;
  }
}

/** One call. */
export class Tree {
  readonly time: Timeline;
  readonly links: readonly Link[];
  /** The runs of the function, and of the middlewares that can tell what is inside them to stop, oldest first. */
  readonly leaves: Leaf[] = [];
  readonly tellers: Around[] = [];
  end: string | undefined;
  private readonly top: Part;

  constructor(time: Timeline, links: readonly Link[]) {
    this.time = time;
    this.links = links;
    this.top = partOf(this, undefined, 0);
    this.top.start();
  }

  settle(ok: boolean, result: string): void {
    this.end ??= `${ok ? 'value' : 'error'} ${result}`;
  }

  abort(reason: string): void {
    if (this.end !== undefined) return;
    this.top.drop(reason);
    this.settle(false, reason);
  }
}

/** One stage that was entered. */
abstract class Part {
  readonly tree: Tree;
  readonly up: Part | undefined;
  readonly index: number;
  /** It has ended, or was given up. */
  out = false;

  constructor(tree: Tree, up: Part | undefined, index: number) {
    this.tree = tree;
    this.up = up;
    this.index = index;
  }

  abstract start(): void;
  /** What is inside has ended. */
  abstract heard(inside: Part, ok: boolean, result: string): void;
  /** Given up from outside. */
  abstract drop(reason: string): void;
  /** What of it runs and can be told to stop: nothing while it waits. */
  abstract running(): Leaf | Around | undefined;

  protected inside(): Part {
    const part = partOf(this.tree, this, this.index + 1);
    return part;
  }

  end(ok: boolean, result: string): void {
    if (this.out) return;
    this.out = true;
    if (this.up === undefined) this.tree.settle(ok, result);
    else this.up.heard(this, ok, result);
  }

  /** When the nearest limit around it is due. */
  limit(): number {
    return this.up?.limit() ?? Infinity;
  }

  /** Whether a middleware around it has told it to stop. */
  told(): boolean {
    return this.up?.told() === true;
  }

  isWithin(other: Part): boolean {
    return this === other || this.up?.isWithin(other) === true;
  }
}

function partOf(tree: Tree, up: Part | undefined, index: number): Part {
  const link = tree.links[index];
  if (link === undefined) return new Leaf(tree, up, index);
  if (link.is === 'retry') return new Retry(tree, up, index, link);
  if (link.is === 'timeout') return new Timeout(tree, up, index, link);
  return new Around(tree, up, index, link.does);
}

/** A run of the caller's function. */
export class Leaf extends Part {
  over = false;
  aborted: string | undefined;
  /** Polite ones fail as soon as their signal aborts. */
  polite = false;
  /** Who waits for its end. */
  readonly waiting: (() => void)[] = [];

  start(): void {
    this.polite = this.tree.leaves.push(this) % 4 === 2;
  }

  heard(): void {}

  running(): Leaf {
    return this;
  }

  settle(ok: boolean, result: string): void {
    if (this.over) return;
    this.over = true;
    this.end(ok, result);
    for (const then of this.waiting) then();
  }

  abort(reason: string): void {
    if (this.over || this.aborted !== undefined) return;
    this.aborted = reason;
    if (this.polite) this.tree.time.soon(() => this.settle(false, reason));
  }

  drop(reason: string): void {
    this.out = true;
    this.abort(reason);
  }
}

/** What runs one thing at a time inside it, and waits for a time of its own. */
abstract class Wrapping extends Part {
  protected child: Part | undefined;
  protected alarm: Alarm | undefined;

  drop(reason: string): void {
    this.out = true;
    this.tree.time.cancel(this.alarm);
    this.child?.drop(reason);
  }

  running(): Leaf | Around | undefined {
    return this.child?.running();
  }
}

class Retry extends Wrapping {
  private readonly link: Link & { is: 'retry' };
  private retries = 0;

  constructor(tree: Tree, up: Part | undefined, index: number, link: Link & { is: 'retry' }) {
    super(tree, up, index);
    this.link = link;
  }

  start(): void {
    if (this.out) return;
    this.child = this.inside();
    this.child.start();
  }

  heard(_inside: Part, ok: boolean, result: string): void {
    this.child = undefined;
    const { maxRetries, pauseMs } = this.link;
    const { time } = this.tree;
    const late = time.now + pauseMs >= this.limit();
    if (ok || this.retries === maxRetries || this.told() || late) return this.end(ok, result);
    this.retries++;
    if (pauseMs === 0) time.soon(() => this.start());
    else this.alarm = time.at(time.now + pauseMs, this, () => time.soon(() => this.start()));
  }
}

class Timeout extends Wrapping {
  private readonly link: Link & { is: 'timeout' };
  private due = Infinity;

  constructor(tree: Tree, up: Part | undefined, index: number, link: Link & { is: 'timeout' }) {
    super(tree, up, index);
    this.link = link;
  }

  start(): void {
    const { time } = this.tree;
    this.due = time.now + this.link.ms;
    this.alarm = time.at(this.due, this.link, () => this.expire());
    this.child = this.inside();
    this.child.start();
  }

  override limit(): number {
    return Math.min(this.due, this.up?.limit() ?? Infinity);
  }

  private expire(): void {
    const reason = `timeout ${this.link.ms}`;
    const { child } = this;
    this.child = undefined;
    child!.drop(reason);
    const left = this.link.waits ? this.tree.leaves.filter((leaf) => !leaf.over && leaf.isWithin(this)) : [];
    if (left.length === 0) return this.end(false, reason);
    for (const leaf of left)
      leaf.waiting.push(() => {
        if (left.every(({ over }) => over)) this.end(false, reason);
      });
  }

  heard(_inside: Part, ok: boolean, result: string): void {
    this.tree.time.cancel(this.alarm);
    this.end(ok, result);
  }
}

/** A run of a middleware. */
export class Around extends Part {
  private readonly does: Middleware;
  private children: Part[] = [];
  private ends: boolean[] = [];
  private answered = false;
  /** What it has told what is inside it, and what it was told itself. */
  private reason: string | undefined;
  private asked: string | undefined;

  constructor(tree: Tree, up: Part | undefined, index: number, does: Middleware) {
    super(tree, up, index);
    this.does = does;
  }

  start(): void {
    if (this.does === 'tells' || this.does === 'limits') this.tree.tellers.push(this);
    const several = this.does === 'race' || this.does === 'any' || this.does === 'all';
    for (let n = several ? 2 : 1; n > 0; n--) this.next();
    if (this.does === 'early') this.answer(true, 'early');
  }

  private next(): void {
    const child = this.inside();
    this.children.push(child);
    child.start();
  }

  override told(): boolean {
    return this.reason !== undefined || super.told();
  }

  get mayTell(): boolean {
    return !this.out && !this.answered && this.reason === undefined && this.children.length > 0;
  }

  /** The middleware's own signal aborts. */
  tell(reason: string): void {
    this.reason = reason;
    this.stop(reason);
    // Its own error wins over the echo of its abort.
    if (this.does === 'limits') this.answer(false, 'limit');
  }

  /** Tells what runs inside; what waits is given up. */
  private stop(reason: string): void {
    for (const child of [...this.children]) {
      const running = child.running();
      if (running instanceof Leaf) running.abort(reason);
      else if (running instanceof Around) {
        running.asked ??= reason;
        running.stop(reason);
      } else {
        child.drop(reason);
        this.heard(child, false, reason);
      }
    }
  }

  heard(inside: Part, ok: boolean, result: string): void {
    this.children = this.children.filter((child) => child !== inside);
    const { time } = this.tree;
    if (this.reason !== undefined && !ok) time.nextTurn(() => this.ended(ok, result));
    else this.ended(ok, result);
  }

  private ended(ok: boolean, result: string): void {
    this.ends.push(ok);
    const all = this.ends.length === 2;
    if (this.does === 'again' && !ok && !all) return this.tree.time.soon(() => this.again());
    if (this.does === 'any' && !ok) return all ? this.answer(false, 'any') : undefined;
    if (this.does === 'all' && ok) return all ? this.answer(true, 'all') : undefined;
    this.answer(ok, result);
  }

  private again(): void {
    if (this.out) return;
    if (this.asked === undefined) this.next();
    else this.answer(false, this.asked);
  }

  private answer(ok: boolean, result: string): void {
    if (this.answered) return;
    this.answered = true;
    this.tree.time.soon(() => {
      if (this.out) return;
      for (const child of this.children) child.drop('lost');
      this.end(ok, result);
    });
  }

  drop(reason: string): void {
    this.out = true;
    for (const child of this.children) child.drop(reason);
  }

  running(): Around {
    return this;
  }
}
