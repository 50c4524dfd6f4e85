import type { PipelineInfo, PolicyInfo } from '../../telemetry/observer.ts';
import type { PipelineSnapshot, PolicySnapshot } from '../../telemetry/snapshot.ts';
import { pipelineAsPolicyCells, pipelineCells, policyCells, Totals } from './cells.ts';
import { reportFault } from './fault.ts';
import { BUCKETS, OTHER, POLICY_NAME } from './names.ts';
import { Names, PipelineSeries, Room, Stream } from './series.ts';

/** One pipeline that is read at collection. Keeps `info`, which does not keep the pipeline the user holds. */
export interface Member {
  readonly info: PipelineInfo;
  readonly policies: readonly PolicyInfo[];
  readonly handle: WeakRef<object>;
  readonly ledger: Ledger;
}

/** A pipeline that has left and may still count: calls made after its disposal are turned away. */
interface Departed {
  readonly info: WeakRef<PipelineInfo>;
  counted: Totals;
}

/**
 * The books of all pipelines that report to one place: who is read, and what those that are gone have counted. A counter
 * must never fall, so a pipeline that leaves hands its counts over to its name; the next one of that name goes on from
 * there. A policy object that sits in several pipelines is read, and later handed over, once.
 */
export class Ledger {
  readonly pipelineNames = new Names('pipeline names', 100);
  readonly policyNames = new Names('policy names', 200);
  private readonly members = new Set<Member>();
  /** Gone for the user, with calls still running. */
  private readonly leaving = new Set<Member>();
  private readonly departed = new Set<Departed>();
  private readonly base = new Totals(true);
  /** Members a policy object sits in. */
  private readonly holders = new Map<object, number>();
  /** What a policy object had counted when its last pipeline left; taken back should it come again. */
  private readonly handed = new WeakMap<object, Totals>();
  private readonly series = new Map<string, PipelineSeries>();
  private readonly executions = new Room('seaworthy.pipeline.duration');
  private readonly attempts = new Room('seaworthy.attempt.duration');
  private readonly queues = new Map<string, Stream>();
  private readonly boundaries = new Set<number>();

  add(info: PipelineInfo, handle: object, buckets: readonly number[] | undefined): Member {
    for (const boundary of buckets ?? BUCKETS) this.boundaries.add(boundary);
    // Without an SDK nobody collects, so whoever joins looks after one of those that have left.
    for (const oldest of this.leaving) {
      this.settle(oldest);
      break;
    }
    for (const oldest of this.departed) {
      this.departed.delete(oldest);
      if (oldest.info.deref() !== undefined) this.departed.add(oldest);
      break;
    }
    const member: Member = { info, policies: info.policies, handle: new WeakRef(handle), ledger: this };
    this.members.add(member);
    for (const identity of identities(member)) {
      const count = this.holders.get(identity) ?? 0;
      this.holders.set(identity, count + 1);
      const handed = this.handed.get(identity);
      if (count > 0 || handed === undefined) continue;
      this.base.addAll(handed, -1);
      this.handed.delete(identity);
    }
    collected().register(handle, member, member);
    return member;
  }

  /** The pipeline was disposed of, or nobody holds it any more. Its running calls are still counted to their end. */
  release(member: Member): void {
    if (!this.members.has(member)) return;
    this.leaving.add(member);
    this.settle(member);
  }

  /** All pipelines of one name share their series, and with them the limit on error types. */
  seriesOf(pipeline: string): PipelineSeries {
    const name = this.pipelineNames.admit(pipeline);
    let series = this.series.get(name);
    if (series === undefined) {
      const overflow = name === OTHER ? undefined : this.seriesOf(OTHER);
      this.series.set(name, (series = new PipelineSeries(name, this.executions, this.attempts, overflow)));
    }
    return series;
  }

  /** The stream of a policy's own histogram. */
  queueStream(policy: string): Stream {
    const name = this.policyNames.admit(policy);
    let stream = this.queues.get(name);
    if (stream === undefined) this.queues.set(name, (stream = new Stream({ [POLICY_NAME]: name })));
    return stream;
  }

  /** Every boundary some pipeline asked for: a meter has one histogram for all of them. */
  get buckets(): ReadonlySet<number> {
    return this.boundaries;
  }

  /** Adds up everything there is to observe. */
  read(totals: Totals): void {
    for (const member of [...this.leaving]) this.settle(member);
    for (const left of this.departed) this.recount(left);
    totals.addAll(this.base);
    const seen = new Set<object>();
    for (const member of this.members) {
      // The registry may be late, or never come.
      if (member.handle.deref() === undefined) this.leaving.add(member);
      const snapshot = look(member.info);
      if (snapshot === undefined) continue;
      this.writePipeline(snapshot, totals);
      member.policies.forEach(({ identity, name }, index) => {
        if (seen.has(identity)) return;
        seen.add(identity);
        this.writePolicy(name, snapshot.policies[index], totals);
      });
    }
  }

  private recount(left: Departed): void {
    const info = left.info.deref();
    const snapshot = info && look(info);
    if (snapshot === undefined) return void this.departed.delete(left);
    this.base.addAll(left.counted, -1);
    left.counted = new Totals(true);
    this.writePipeline(snapshot, left.counted);
    this.base.addAll(left.counted);
  }

  /** Hands over what a member that leaves has counted, as soon as no call of it runs any more. */
  private settle(member: Member): void {
    const snapshot = look(member.info);
    this.leaving.delete(member);
    if (snapshot !== undefined && snapshot.active > 0) {
      // To the end of the line, so that one long call does not hide the others.
      this.leaving.add(member);
      return;
    }
    this.members.delete(member);
    // From here on nothing keeps what the pipeline was made of: a user's function in it may refer to the pipeline itself.
    collected().unregister(member);
    if (snapshot !== undefined) {
      const left = { info: new WeakRef(member.info), counted: new Totals(true) };
      this.departed.add(left);
      this.recount(left);
    }
    for (const identity of identities(member)) {
      const count = (this.holders.get(identity) ?? 1) - 1;
      if (count > 0) {
        this.holders.set(identity, count);
        continue;
      }
      this.holders.delete(identity);
      const index = member.policies.findIndex((policy) => policy.identity === identity);
      const counts = new Totals(true);
      this.writePolicy(member.policies[index]?.name ?? OTHER, snapshot?.policies[index], counts);
      this.base.addAll(counts);
      this.handed.set(identity, counts);
    }
  }

  private writePipeline(snapshot: PipelineSnapshot, totals: Totals): void {
    // Not among the policy names, which would then be used up by pipelines.
    const put = totals.under(this.pipelineNames.admit(snapshot.name));
    pipelineCells(snapshot, put);
    pipelineAsPolicyCells(snapshot, put);
  }

  private writePolicy(name: string, state: PolicySnapshot | undefined, totals: Totals): void {
    if (state !== undefined && state.kind !== 'custom') policyCells(state, totals.under(this.policyNames.admit(name)));
  }
}

function identities(member: Member): Set<object> {
  return new Set(member.policies.map((policy) => policy.identity));
}

function look(info: PipelineInfo): PipelineSnapshot | undefined {
  try {
    return info.snapshot();
  } catch (error) {
    reportFault('snapshot()', error);
    return undefined;
  }
}

let registry: FinalizationRegistry<Member> | undefined;

function collected(): FinalizationRegistry<Member> {
  return (registry ??= new FinalizationRegistry((member) => member.ledger.release(member)));
}
