import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Admission, CircuitBook } from '../../src/algorithms/circuit-book.ts';
import type { Settlement } from '../../src/algorithms/circuit.ts';
import type { CircuitSnapshots } from '../../src/algorithms/circuit-state.ts';
import { BookModel, type Hold, type Keyed, sorted, type Ticket } from './circuit-book-model.ts';
import { optionsOf, type Shape, shape } from './circuit-model.ts';
import { commands, explore, holds, operations, patience, same } from './explore.ts';

const wait = fc.oneof({ weight: 6, arbitrary: fc.nat(20) }, { weight: 2, arbitrary: fc.nat(120) }, fc.nat(2000));
const key = fc.constantFrom(undefined, undefined, 'a', 'a', 'b', 'c', 'd');
const of = <const Name extends string>(...names: Name[]) => fc.constantFrom(...names);
const command = fc.oneof(
  { weight: 16, arbitrary: fc.record({ do: of('come'), wait, key, timed: fc.boolean() }) },
  {
    weight: 20,
    arbitrary: fc.record({
      do: of('settle'),
      wait,
      which: fc.nat(1000),
      result: fc.constantFrom<Settlement>('success', 'success', 'failure', 'failure', 'failure', 'ignored'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: of('hold'), wait, key, what: of<Hold>('isolated', 'disabled') }) },
  { weight: 2, arbitrary: fc.record({ do: of('let go'), wait, which: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ do: of('reset', 'wait', 'wait'), wait, key }) },
  { weight: 4, arbitrary: fc.record({ do: of('read', 'tell'), wait, key }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: of('restart', 'wait', 'wait', 'wait'),
      wait,
      shift: fc.integer({ min: -1e6, max: 1e6 }),
    }),
  },
);

/** A book and what it should be, with the calls inside it. */
class Pair {
  now = 0;
  book: CircuitBook;
  model: BookModel;
  inside: { admission: Admission; ticket: Ticket }[] = [];
  handles: { release: () => void; what: Hold; on: Keyed | undefined }[] = [];
  private readonly shape: Shape;
  private readonly max: number;
  /** When it last found none idle to make room; it looks again only after 5 ms. */
  private searchedAt = -Infinity;

  constructor(shape: Shape, max: number) {
    this.shape = shape;
    this.max = max;
    this.model = new BookModel(shape);
    this.book = this.open(undefined);
  }

  private get tight(): boolean {
    return this.max < 4;
  }

  private open(initialState: CircuitSnapshots | undefined): CircuitBook {
    const idleMs = this.tight ? 3000 : Infinity;
    return new CircuitBook({ ...optionsOf(this.shape), initialState }, { max: this.max, idleMs }, () => this.now);
  }

  /** The records of a key on both sides; who asks for one that was forgotten gets a new one. */
  record(key: string | undefined) {
    const before = this.model.keys.size;
    const known = key === undefined || this.book.glance(key)?.key === key;
    const record = key === undefined ? this.book.main : this.book.record(key);
    this.model.tick(this.now);
    const gone = this.model.forget(new Set(this.book.all()));
    const full = !known && before >= this.max;
    const idle = [...this.model.keys.values()].some((each) => each.idle && each.key !== key);
    for (const each of gone) {
      holds('no circuit is forgotten that an operator holds', !each.pinned);
      const forced = full && (!idle || this.now - this.searchedAt < 5);
      holds('a busy circuit is forgotten only for a new one, where none is idle', each.idle || forced);
    }
    if (full && !gone.some((each) => each.idle)) this.searchedAt = this.now;
    const own = this.model.of(key);
    own.record = record;
    const pinned = this.model.all.filter((each) => each.pinned).length;
    holds('no more circuits are made than allowed', known || this.model.keys.size <= this.max + pinned);
    return { record, own };
  }

  come(key: string | undefined, timed: boolean): void {
    const { record } = this.record(key);
    const admission = this.book.admit(record);
    const ticket = this.model.admit(key, this.now, timed);
    if ('reason' in ticket) {
      same('let in', admission, undefined);
      same('refusal', this.book.refuse(record), ticket);
    } else {
      if (admission === undefined) throw new Error('turned away, but the model lets it in');
      this.inside.push({ admission, ticket });
    }
  }

  settle(which: number, result: Settlement): void {
    const [{ admission, ticket }] = this.inside.splice(which % this.inside.length, 1) as [Pair['inside'][0]];
    const error = result === 'failure' ? `failure at ${this.now}` : undefined;
    this.book.settle(admission, result, this.now, { error }, ticket.startedAt);
    this.model.settle(ticket, result, this.now, error);
  }

  hold(key: string | undefined, what: Hold): void {
    const found = key === undefined ? undefined : this.record(key);
    const release = this.book.hold(what, found?.record);
    this.model.hold(what, found?.own, 1, this.now);
    this.handles.push({ release, what, on: found?.own });
  }

  letGo(which: number): void {
    const [{ release, what, on }] = this.handles.splice(which % this.handles.length, 1) as [Pair['handles'][0]];
    release();
    this.model.hold(what, on, -1, this.now);
  }

  reset(key: string | undefined): void {
    const found = key === undefined ? undefined : this.record(key);
    this.book.reset(found?.record);
    this.model.reset(found?.own, this.now);
  }

  read(): void {
    const totals = this.book.read();
    // What was forgotten while it was busy took changes along that nobody had seen.
    if (!this.tight) this.model.check(totals, this.now);
  }

  tell(key: string | undefined): void {
    const { record, own } = this.record(key);
    this.read();
    this.model.tick(this.now);
    same('news', sorted(this.book.news(record)), this.model.news(own));
    same('cause', record.cause, own.cause);
    same('nothing is told twice', [this.book.news(record), this.book.hasNews(record)], [[], false]);
  }

  restart(shift: number): void {
    const kept = JSON.parse(JSON.stringify(this.book.toJSON(undefined)));
    this.model = this.model.restored(this.now, shift);
    this.now += shift;
    this.book = this.open(kept);
    const records = new Map(this.book.all().map((record) => [record.key, record]));
    const { keys } = this.model;
    same('circuits taken over', records.size - 1, Math.min(keys.size, this.max));
    for (const [key, own] of keys) {
      own.record = records.get(key);
      if (own.record === undefined) keys.delete(key);
    }
    this.inside = [];
    this.handles = [];
  }

  /** What anybody may ask at any time, and it moves nothing. */
  compare(): void {
    const { book, model, now } = this;
    same('state of all', book.state(undefined), model.state(undefined, now));
    same('snapshot of all', book.toJSON(undefined), model.snapshot(now));
    for (const [key, own] of model.keys) {
      const record = book.glance(key);
      same('state of a key', book.state(record), model.state(own, now));
      same('snapshot of a key', book.toJSON(record), own.circuit.snapshot(now));
      same('in flight', record!.inFlight, own.inFlight);
    }
  }
}

describe('all circuits of one breaker', () => {
  for (const { title, name, max } of [
    {
      title: 'agree with a list of models in every answer, count, change and hold',
      name: 'circuits and holds',
      max: 100,
    },
    { title: 'agree with it as well where too many keys make it forget some', name: 'circuits forgotten', max: 2 },
  ])
    it(
      title,
      async () => {
        const seen = { turnedAway: 0, held: 0, restarts: 0, open: 0 };
        await explore(name, fc.tuple(shape, commands(command, 250)), ([shape, run], did) => {
          const pair = new Pair(shape, max);
          for (const next of run) {
            if (next.do === 'settle' && pair.inside.length === 0) continue;
            if (next.do === 'let go' && pair.handles.length === 0) continue;
            did();
            pair.now += next.wait;
            if (next.do === 'come') pair.come(next.key, next.timed);
            else if (next.do === 'settle') pair.settle(next.which, next.result);
            else if (next.do === 'hold') pair.hold(next.key, next.what);
            else if (next.do === 'let go') pair.letGo(next.which);
            else if (next.do === 'reset') pair.reset(next.key);
            else if (next.do === 'read') pair.read();
            else if (next.do === 'tell') pair.tell(next.key);
            else if (next.do === 'restart') pair.restart(next.shift);
            pair.compare();
            if (next.do === 'restart') seen.restarts++;
            if (pair.handles.length > 0) seen.held++;
          }
          seen.turnedAway += pair.model.executions.rejected;
          seen.open += pair.model.transitions.open;
        });
        for (const often of Object.values(seen)) expect(often).toBeGreaterThan(operations / 400);
      },
      patience,
    );
});
