/**
 * The seeded generator behind every shuffle: xoshiro128** (Blackman and Vigna, https://prng.di.unimi.it),
 * its state filled by splitmix32. Plain 32-bit integer arithmetic: the same numbers on every machine.
 */
export class Random {
  readonly #s = new Uint32Array(4);

  /** Any numbers: a seed, and what distinguishes this use of it (an epoch, say). */
  constructor(...seeds: number[]) {
    let x = 0;
    const mix = (value: number) => {
      x = (x + 0x9e3779b9 + value) >>> 0;
      let z = x;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return x = (z ^ (z >>> 15)) >>> 0;
    };
    for (const seed of seeds) {
      mix(seed >>> 0);
      mix(Math.floor(seed / 2 ** 32) >>> 0);
    }
    for (let i = 0; i < 4; i++) this.#s[i] = mix(i + 1);
    this.#s[0] |= 1; // never all zero
  }

  /** The next 32 bits. */
  next(): number {
    const s = this.#s, x = Math.imul(s[1], 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  /** A whole number from 0 to `bound` - 1, each as likely (`bound` at most 2^32). */
  below(bound: number): number {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    for (;;) {
      const x = this.next();
      if (x < limit) return x % bound;
    }
  }

  /** A number in [0, 1), a multiple of 2^-32. */
  uniform(): number {
    return this.next() / 2 ** 32;
  }

  /** 0 to `length` - 1 in random order (Fisher and Yates). */
  permutation(length: number): Uint32Array {
    const order = Uint32Array.from({ length }, (_, i) => i);
    for (let i = length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}
