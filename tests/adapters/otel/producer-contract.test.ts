import { beforeAll, expect, test } from 'vitest';
import { metricProducer } from 'seaworthy/otel';
import { contract, type Emitted, neverCame, unexpected } from './contract.ts';
import { drive } from './contract-drive.ts';

let emitted: Emitted & { readonly diag: readonly string[] };

beforeAll(async () => {
  emitted = await drive(metricProducer());
});

test('with a metric producer nothing is emitted that is not in contract.json', () => {
  expect(unexpected(contract, emitted)).toEqual([]);
});

test('with a metric producer nothing is in contract.json that never comes', () => {
  expect(neverCame(contract, emitted)).toEqual([]);
});

test('with a metric producer no stream is there twice', () => {
  const streams = emitted.points.map(({ name, attributes }) => JSON.stringify([name, attributes]));
  expect(streams.filter((each, index) => streams.indexOf(each) !== index)).toEqual([]);
});

test('with a metric producer the SDK has nothing to complain about', () => {
  expect(emitted.diag).toEqual([]);
});
