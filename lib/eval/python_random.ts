/**
 * The one choice of Python's `random` that AlpacaEval makes: `random.Random(seed).choices([False, True])[0]` of a text.
 */

/**
 * True where Python's first random number from this seed is one half or more.
 *
 * A text seeds the Mersenne twister with its bytes and their SHA-512 as one number (CPython, `random.seed`, version 2);
 * half the range is decided by the first output's highest bit.
 */
export async function pythonCoin(seed: string): Promise<boolean> {
  const text = new TextEncoder().encode(seed);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-512", text));
  const bytes = new Uint8Array(text.length + hash.length);
  bytes.set(text);
  bytes.set(hash, text.length);
  return firstOutput(littleEndianWords(bytes)) >>> 31 === 1;
}

/** A big-endian number's 32-bit words, the lowest first, without zeros at the top. */
function littleEndianWords(bytes: Uint8Array): Uint32Array {
  const words: number[] = [];
  for (let end = bytes.length; end > 0; end -= 4) {
    let word = 0;
    for (let i = Math.max(0, end - 4); i < end; i++) word = (word << 8 | bytes[i]!) >>> 0;
    words.push(word);
  }
  while (words.length > 1 && words.at(-1) === 0) words.pop();
  return Uint32Array.from(words);
}

const N = 624, M = 397;

/** The first output of MT19937 after `init_by_array` (Matsumoto and Nishimura 2002). */
function firstOutput(key: Uint32Array): number {
  const state = new Uint32Array(N);
  state[0] = 19650218;
  for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, mixed(state[i - 1]!)) + i;
  let i = 1, j = 0;
  const carry = () => {
    if (++i < N) return;
    state[0] = state[N - 1]!;
    i = 1;
  };
  for (let k = Math.max(N, key.length); k > 0; k--) {
    state[i] = (state[i]! ^ Math.imul(mixed(state[i - 1]!), 1664525)) + key[j]! + j;
    carry();
    j = (j + 1) % key.length;
  }
  for (let k = N - 1; k > 0; k--) {
    state[i] = (state[i]! ^ Math.imul(mixed(state[i - 1]!), 1566083941)) - i;
    carry();
  }
  state[0] = 0x80000000;
  // the first output needs the first word of the next state alone
  const y = (state[0]! & 0x80000000) | (state[1]! & 0x7fffffff);
  let word = state[M]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
  word ^= word >>> 11;
  word ^= (word << 7) & 0x9d2c5680;
  word ^= (word << 15) & 0xefc60000;
  return (word ^ (word >>> 18)) >>> 0;
}

function mixed(word: number): number {
  return word ^ (word >>> 30);
}
