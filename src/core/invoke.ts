import type { Call } from './call.ts';
import { deadlineExceeded } from './deadline.ts';
import { Stage } from './policy.ts';
import { Work } from './work.ts';

/** The innermost stage: calls the user's function. Its end comes back through `Work`, which knows when it really ended. */
export class Invoke extends Stage {
  override readonly slots = 0;
  /** The stages that measure from the start of the function, so that waiting in our own queues never looks slow. */
  private readonly timed: readonly Stage[];

  constructor(timed: readonly Stage[]) {
    super();
    this.timed = timed;
  }

  override enter(call: Call): void {
    const { scope } = this;
    const execution = scope.of(call);
    const { deadline } = call.root;
    if (deadline !== Number.POSITIVE_INFINITY) {
      const now = scope.clock.now();
      if (now >= deadline) return this.raise(call, deadlineExceeded(this, call, deadline - now));
    }
    execution.called = execution.attemptCalled = true;
    scope.pipeline.cells.attempts++;
    // A call of a nested pipeline's function is one of those around it, too.
    for (let outer = scope.outer; outer.index >= 0; outer = outer.scope.outer) {
      const around = outer.scope.of(call);
      around.called = around.attemptCalled = true;
      outer.scope.pipeline.cells.attempts++;
    }
    if (this.timed.length > 0) {
      const now = scope.clock.now();
      for (const stage of this.timed) stage.started(call.owner(stage.index), now);
    }
    const work = new Work(call, this, execution.attempt || 1);
    work.start(call.fn, execution.attemptTokens ?? execution.tokens);
  }
}
