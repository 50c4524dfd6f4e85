import type { Call } from './call.ts';
import { deadlineExceeded } from './deadline.ts';
import { Stage } from './policy.ts';
import { ExecutionScope } from './scope.ts';
import { Work } from './work.ts';

/** The innermost stage: calls the user's function. Its end comes back through `Work`, which knows when it really ended. */
export class Invoke extends Stage {
  override readonly frame = true;
  override readonly slots = 0;
  /** The stages that measure from the start of the function, so that waiting in our own queues never looks slow. */
  private readonly timed: readonly Stage[];

  /** The executions that a call of the function counts for: the pipeline's, and those of all nested ones. */
  private readonly outermost: ExecutionScope;
  private readonly nested: readonly ExecutionScope[];

  /** Neither of them. */
  private readonly simple: boolean;

  constructor(row: readonly Stage[]) {
    super();
    this.timed = row.filter((stage) => stage.timesWork);
    [this.outermost, ...this.nested] = row.filter((stage) => stage instanceof ExecutionScope) as [ExecutionScope];
    this.simple = this.timed.length + this.nested.length === 0;
  }

  override enter(call: Call): void {
    if (call.root.deadline !== null && this.tooLate(call, call.root.deadline)) return;
    let watched = this.outermost.called(call);
    if (!this.simple && this.alsoCalled(call)) watched = true;
    call.invoked++;
    if (call.parent !== null) this.count(call.parent);
    const work = new Work(call, this, this.attemptOf(call));
    work.start(call.fn, watched ? this.watched(call)?.tokens : undefined);
  }

  /** The same for nested pipelines and stages that measure. */
  private alsoCalled(call: Call): boolean {
    let watched = false;
    for (const scope of this.nested) if (scope.called(call)) watched = true;
    if (this.timed.length > 0) this.time(call);
    return watched;
  }

  /** Ends a call whose deadline has passed. */
  private tooLate(call: Call, deadline: number): boolean {
    const now = this.scope.clock.now();
    if (now < deadline) return false;
    this.raise(call, deadlineExceeded(this, call, deadline - now));
    return true;
  }

  private time(call: Call): void {
    const now = this.scope.clock.now();
    for (const stage of this.timed) stage.started(ownerOf(call, stage.index), now);
  }

  private count(call: Call): void {
    for (let own: Call | null = call; own !== null; own = own.parent) own.invoked++;
  }

  override returned(call: Call, value: unknown): void {
    if (call.at !== this.index) return call.discard(value);
    call.at = this.outerIndex;
    call.heard = true;
    this.outer.succeed(call, value);
  }
}

/** The call that went through stage `index` itself: this one, or what it was forked from. */
function ownerOf(call: Call, index: number): Call {
  let own = call;
  while (own.parent !== null && index <= own.base) own = own.parent;
  return own;
}
