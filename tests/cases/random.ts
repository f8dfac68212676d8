/** Seeded numbers, the same on every machine. */

/** Many numbers repeat after so many, a prime: what is that large is measured, and making it shall not take minutes. */
const PERIOD = 1_048_583;

/** Normal numbers (mulberry32 and Box-Muller), for test data. */
export function randomNormal(count: number, seed: number, scale = 1): Float32Array<ArrayBuffer> {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const numbers = new Float32Array(count);
  const block = numbers.subarray(0, PERIOD);
  for (let i = 0; i < block.length; i++) block[i] = scale * normal();
  for (let at = PERIOD; at < count; at += PERIOD) numbers.set(block.subarray(0, count - at), at);
  return numbers;
}

/** Whole numbers from 0 up to `below`, exclusive. */
export function randomIntegers(count: number, below: number, seed: number): Uint32Array<ArrayBuffer> {
  let state = seed >>> 0;
  return Uint32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  });
}
