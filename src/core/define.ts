import { systemClock } from '../ports/clock.ts';
import { systemRandom } from '../ports/random.ts';
import { reliable } from '../ports/reliable-clock.ts';
import type { Observer } from '../telemetry/observer.ts';
import { compose } from './compose.ts';
import { Observers } from './observers.ts';
import { callable, check, either, flag, isPlain, type Rules, shape, show } from './options.ts';
import { classifier, isClassify } from './outcome.ts';
import { claim, partsOf } from './parts.ts';
import { PipelineCore } from './pipeline-core.ts';
import type { Defaults, PipelineOptions, Stackable } from './pipeline-types.ts';

const rules: Rules = {
  classify: /* @__PURE__ */ shape('a function or a cockatiel handler', isClassify),
  attributes: /* @__PURE__ */ shape(
    'an object of strings, numbers and booleans',
    (value) =>
      isPlain(value) &&
      Object.values(value).every((each) => ['string', 'number', 'boolean', 'undefined'].includes(typeof each)),
  ),
  observers: /* @__PURE__ */ shape('an array of observers', (value) => Array.isArray(value) && value.every(isObserver)),
  stackTraces: flag,
  clock: /* @__PURE__ */ shape(
    'a clock',
    (value) => typeof value?.now === 'function' && typeof value?.after === 'function',
  ),
  random: callable,
};

/** True for an object whose methods are functions, as far as an observer has any. */
function isObserver(value: any): boolean {
  const methods = ['interest', 'event', 'start', 'end', 'within', 'dispose'];
  return isPlain(value) && methods.every((name) => value[name] === undefined || typeof value[name] === 'function');
}

/** Keeps the first place, which is OpenTelemetry's in every pipeline. */
const SILENT: Observer = { interest: () => 0 };

/**
 * Makes what is behind a user's pipeline from what the user gave: checked, named, composed and joined to its observers.
 * `handle` is the user's object, `coreOf` finds what is behind another one.
 */
export function define(
  name: string,
  policies: readonly Stackable[],
  options: PipelineOptions<any>,
  defaults: Defaults<any>,
  handle: object,
  coreOf: (value: unknown) => PipelineCore | undefined,
): PipelineCore {
  if (typeof name !== 'string' || !/^[\w./-]{1,64}$/.test(name))
    throw new TypeError(
      `Cannot create pipeline: the name must be 1-64 characters of letters, digits, ".", "_", "-", "/", received ${show(name)}`,
    );
  if (!Array.isArray(policies))
    throw new TypeError(`Cannot create pipeline "${name}": policies must be an array, received ${show(policies)}`);
  check(`create pipeline "${name}"`, options, { ...rules, telemetry: either(flag, defaults.telemetry) });
  const { attributes, telemetry = true, observers = [], stackTraces = false } = options;
  const { clock = systemClock, random = systemRandom } = options;
  const core = new PipelineCore({
    name,
    parts: partsOf(name, policies, defaults, coreOf),
    classify: classifier(options.classify),
    attributes: attributes && { ...attributes },
    clock: reliable(clock),
    random,
    stackTraces,
  });
  core.stages = compose(core, () => {
    const otel =
      telemetry === false ? SILENT : defaults.observer(telemetry === true ? undefined : telemetry)(core, handle);
    core.observers = new Observers(name, [otel, ...observers]);
  });
  core.blank = Array.from({ length: core.stages.at(-1)!.nextSlot });
  claim(name, core.parts);
  return core;
}
