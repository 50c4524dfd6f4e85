import type { IDefaultPolicyContext, IPolicy } from 'cockatiel';
import { policy } from '../../core/around.ts';
import { capture } from '../../core/context.ts';
import type { Policy } from '../../core/policy.ts';
import type { CallContext } from '../../core/work.ts';

/**
 * A whole cockatiel policy as one of ours: what is inside it runs as its function, told to stop by the signal cockatiel
 * gives that function, and it is told to stop by the call's. The call stands in it as in any other policy, so the
 * caller's abort is heard at once even where cockatiel would wait.
 */
export function adopt(foreign: IPolicy<any, any>): Policy<any> {
  return policy({
    kind: 'cockatiel',
    // cockatiel does not say which of its policies runs again, and `wrap` hides it.
    repeats: true,
    around(call: CallContext, next) {
      // A waiting call of its bulkhead is started by the call that makes room, in that one's async context.
      const home = capture();
      return foreign.execute(
        ({ signal }: IDefaultPolicyContext) => home.runInAsyncScope(() => next(signal)),
        call.signal,
      );
    },
  });
}
