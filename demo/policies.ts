/** The pipeline of the demo: five policies, outermost first, and the numbers that the report checks its promises against. */
import { bulkhead, circuitBreaker, fallback, pipeline, retry, timeout } from 'seaworthy';

/** Milliseconds are of real time, whatever the length of the timetable. */
export const numbers = {
  deadlineMs: 1_000,
  attemptMs: 200,
  maxRetries: 1,
  budget: { ratio: 0.05, minPerSecond: 1, capacity: 10 },
  limit: 8,
  queue: 8,
  maxWaitMs: 50,
  halfOpenCalls: 3,
} as const;

/** The name operators read. */
export const name = 'catalogue';

/** What users get while the real thing is not to be had. */
function cached(): Response {
  return new Response('{"items":["rope","anchor"],"from":"cache"}', { headers: { 'x-answered-by': 'fallback' } });
}

/** The policies; `tempo` is 1 for the full timetable, and less shortens the circuit's times with the timetable's. */
export function protection(tempo: number, as: string = name) {
  const breaker = circuitBreaker({
    failureRatio: 0.5,
    minimumCalls: 10,
    windowMs: 2_000 * tempo,
    breakMs: 1_000 * tempo,
    halfOpenCalls: numbers.halfOpenCalls,
  });
  const guarded = pipeline(as, [
    fallback({ to: cached }),
    timeout(numbers.deadlineMs),
    retry({ maxRetries: numbers.maxRetries, budget: numbers.budget }),
    breaker,
    bulkhead({ limit: numbers.limit, queue: numbers.queue, maxWaitMs: numbers.maxWaitMs }),
    timeout(numbers.attemptMs),
  ]);
  return { pipeline: guarded, breaker };
}
