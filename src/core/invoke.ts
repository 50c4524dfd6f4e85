import type { Call } from './call.ts';
import { deadlineExceeded } from './deadline.ts';
import { Stage } from './policy.ts';
import type { ExecutionScope } from './scope.ts';
import { Work } from './work.ts';

/** The innermost stage: calls the user's function. Its end comes back through `Work`, which knows when it really ended. */
export class Invoke extends Stage {
  override readonly frame = true;
  override readonly slots = 0;
  /** The stages that measure from the start of the function, so that waiting in our own queues never looks slow. */
  private readonly timed: readonly Stage[];

  /** The executions that a call of the function counts for: the pipeline's, and those of all nested ones. */
  private readonly scopes: readonly ExecutionScope[];

  constructor(timed: readonly Stage[], scopes: readonly ExecutionScope[]) {
    super();
    this.timed = timed;
    this.scopes = scopes;
  }

  override enter(call: Call): void {
    const { scope } = this;
    const execution = scope.of(call);
    const { deadline } = call.root;
    if (deadline !== null) {
      const now = scope.clock.now();
      if (now >= deadline) return this.raise(call, deadlineExceeded(this, call, deadline - now));
    }
    for (let i = 0; i < this.scopes.length; i++) {
      const scope = this.scopes[i]!;
      const around = scope.of(call);
      around.called = around.attemptCalled = true;
      scope.pipeline.cells.attempts++;
    }
    if (this.timed.length > 0) {
      const now = scope.clock.now();
      for (const stage of this.timed) stage.started(ownerOf(call, stage.index), now);
    }
    for (let own: Call | null = call; own !== null; own = own.parent) own.invoked++;
    const work = new Work(call, this, execution.attempt || 1);
    work.start(call.fn, execution.tokensOf(true));
  }

  override returned(call: Call, value: unknown): void {
    if (call.at !== this.index) return;
    call.at--;
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
