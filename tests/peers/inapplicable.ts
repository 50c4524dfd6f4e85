/** A peer's defect that has no test here. */
export interface Inapplicable {
  readonly id: string;
  readonly reason: string;
}

/** The peers' defects that cannot be shown to be absent from ours by a test; sorted by id. */
export const inapplicable: readonly Inapplicable[] = [];
