import type { HeldState } from '../../src/algorithms/circuit-book.ts';
import type { CircuitSnapshots, Settlement } from '../../src/algorithms/circuit.ts';
import { Model, type Pass, type Shape, slowMs } from './circuit-model.ts';
