/** Seeded damage to a file's bytes: flips, cuts, splices, other numbers in texts, other values in JSON. */

/** Numbers from 0 (inclusive) to 1 (exclusive), the same for the same seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** mulberry32. */
  uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  below(n: number): number {
    return Math.floor(n * this.uniform());
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

type Bytes = Uint8Array<ArrayBuffer>;

/** What has broken readers before. */
const NUMBERS = [
  ...["0", "-1", "1", "7", "255", "65536", "1000000000", "-2147483648", "4294967296", "9007199254740993"],
  ...["1e308", "1e-320", "0.5", "-0", "1e999", "null", "true", '"7"', "[]", "{}"],
];
const VALUES: readonly unknown[] = [
  ...[null, true, 0, -1, 0.5, 1e9, 2 ** 53, -(2 ** 31), 1e308, "", "x", "\u0000", "../..", "x".repeat(5000)],
  ...[[], {}, [[[[[]]]]], { a: { b: {} } }, ["x", 1, null], "{{ x }}", "(a+)+$", "\ud800"],
];
const CHARACTERS = [0, 10, 13, 32, 34, 39, 44, 45, 48, 58, 91, 92, 93, 123, 125, 127, 128, 192, 237, 255];

/** A damaged copy, by one to three kinds of damage. */
export function mutate(seed: Bytes, random: Random, others: readonly Bytes[] = []): Bytes {
  let bytes = seed;
  for (let i = 1 + random.below(3); i > 0; i--) bytes = damage(bytes, random, others);
  return bytes;
}

function damage(bytes: Bytes, random: Random, others: readonly Bytes[]): Bytes {
  const at = random.below(bytes.length + 1), length = Math.min(1 + random.below(64), bytes.length - at);
  switch (random.below(11)) {
    case 0:
    case 1: {
      const copy = bytes.slice();
      if (copy.length > 0) copy[random.below(copy.length)]! ^= 1 << random.below(8);
      return copy;
    }
    case 2: {
      const copy = bytes.slice();
      if (copy.length > 0) copy[random.below(copy.length)] = random.pick(CHARACTERS);
      return copy;
    }
    case 3:
      return bytes.slice(0, at);
    case 4:
      return join(bytes.subarray(0, at), bytes.subarray(at + length));
    case 5:
      return join(bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at));
    case 6:
      return join(
        bytes.subarray(0, at),
        Uint8Array.from({ length: 1 + random.below(8) }, () => random.pick(CHARACTERS)),
        bytes.subarray(at),
      );
    case 7: {
      const other = others.length > 0 ? random.pick(others) : bytes, cut = random.below(other.length + 1);
      return join(bytes.subarray(0, at), other.subarray(cut));
    }
    case 8:
      return otherNumber(bytes, random);
    default:
      return otherValue(bytes, random);
  }
}

function join(...parts: Uint8Array[]): Bytes {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const latin = new TextDecoder("latin1");
const fromLatin = (text: string): Bytes => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** Puts another number where one stands as text, or a whole word of binary numbers. */
function otherNumber(bytes: Bytes, random: Random): Bytes {
  const text = latin.decode(bytes);
  const found = [...text.matchAll(/-?\d+(?:\.\d+)?/g)];
  if (found.length === 0) return bytes;
  const { index, 0: { length } } = random.pick(found);
  const number = random.pick(NUMBERS);
  return join(bytes.subarray(0, index), new TextEncoder().encode(number), bytes.subarray(index + length));
}

/** Puts another value at a place of the JSON that the bytes are, or begin with after eight bytes of its length. */
function otherValue(bytes: Bytes, random: Random): Bytes {
  const framed = bytes.length > 8 && bytes[8] === 123 && bytes[0] !== 123;
  if (!framed) {
    const changed = changeJson(new TextDecoder().decode(bytes), random);
    return changed === undefined ? otherLine(bytes, random) : new TextEncoder().encode(changed);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = Number(view.getBigUint64(0, true));
  if (length > bytes.length - 8) return bytes;
  const changed = changeJson(latin.decode(bytes.subarray(8, 8 + length)), random);
  if (changed === undefined) return bytes;
  const header = fromLatin(changed), head = new Uint8Array(8);
  new DataView(head.buffer).setBigUint64(0, BigInt(header.length), true);
  return join(head, header, bytes.subarray(8 + length));
}

/** As {@link otherValue}, in one of many lines. */
function otherLine(bytes: Bytes, random: Random): Bytes {
  const lines = new TextDecoder().decode(bytes).split("\n"), i = random.below(lines.length);
  return new TextEncoder().encode(lines.with(i, changeJson(lines[i]!, random) ?? lines[i]!).join("\n"));
}

function changeJson(text: string, random: Random): string | undefined {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    return undefined;
  }
  const holder = { root }; // so that the whole is a place, too
  const places: [Record<string, unknown>, string][] = [];
  const walk = (value: unknown) => {
    if (typeof value !== "object" || value === null || places.length > 5000) return;
    for (const key of Object.keys(value)) {
      places.push([value as Record<string, unknown>, key]);
      walk((value as Record<string, unknown>)[key]);
    }
  };
  walk(holder);
  const [parent, key] = random.pick(places);
  const [other, otherKey] = random.pick(places);
  const kind = random.below(8);
  if (kind === 0 && parent !== holder) delete parent[key];
  else if (kind === 1) parent[key] = structuredClone(other[otherKey]);
  else if (kind === 2) {
    let deep: unknown = 1;
    for (let i = 0; i < 3000; i++) deep = [deep];
    parent[key] = deep;
  } else parent[key] = random.pick(VALUES);
  try {
    return JSON.stringify(holder.root) ?? "";
  } catch {
    return undefined;
  }
}
