/** Digests of tensors, as `losses.py` beside this file makes them. */
import { assert } from "@std/assert";

/** A tensor's norm and its projections onto fixed vectors of signs. */
export type Digest = readonly [norm: number, ...projections: number[]];

/** +1 or -1 from a hash of the position. */
function sign(i: number, k: number): number {
  let h = Math.imul((i + 1 + Math.imul(k, 0x9e3779b9)) >>> 0, 0x85ebca6b) >>> 0;
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35) >>> 0;
  h ^= h >>> 16;
  return h & 1 ? 1 : -1;
}

/** The digest of a tensor, with as many projections as `like`. */
export function digestOf(values: ArrayLike<number>, like: Digest): Digest {
  let squares = 0;
  const projections = like.slice(1).map(() => 0);
  for (let i = 0; i < values.length; i++) {
    squares += values[i]! ** 2;
    for (let k = 0; k < projections.length; k++) projections[k] += sign(i, k) * values[i]!;
  }
  return [Math.sqrt(squares), ...projections];
}

/**
 * Throws where a tensor is further than `tolerance` in norm from the one that `wanted` is of. An error e moves each
 * projection by about |e|: by more than four times that once in 16,000.
 */
export function assertDigest(
  values: ArrayLike<number>,
  wanted: Digest,
  { tolerance, what }: { tolerance: number; what: string },
): void {
  const found = digestOf(values, wanted);
  found.forEach((value, i) => {
    const allowed = tolerance * wanted[0] * (i === 0 ? 1 : 4);
    assert(Math.abs(value - wanted[i]!) <= allowed, `${what}: number ${i} is ${value}, wanted ${wanted[i]}`);
  });
}
