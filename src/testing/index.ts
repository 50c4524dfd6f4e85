/// <reference lib="esnext.disposable" preserve="true" />
/**
 * For tests of code behind a pipeline, and of policies of your own: no framework, no global touched, no sleeping.
 */
export {
  type PolicyContractCase,
  type PolicyContractOptions,
  policyContract,
} from './policy-contract.ts';
export { type Recorded, type RecordedIn, type Recorder, recorder } from './recorder.ts';
export { type Script, type ScriptedCall, ScriptedError, type ScriptStep, type ScriptValue, script } from './script.ts';
export { seededRandom } from './seeded-random.ts';
export { type VirtualClock, virtualClock } from './virtual-clock.ts';
