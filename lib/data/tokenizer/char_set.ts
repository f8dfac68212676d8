/**
 * Sets of Unicode characters, by predicate, with a memory: a test costs one look into an array after the first.
 */

const NO = 1, YES = 2;

/** A set of code points. */
export class CharSet {
  /** 0 where a code point was never asked about. Its pages are taken from the system as they are touched. */
  #memory: Uint8Array | undefined;
  readonly #test: (codePoint: number) => boolean;

  constructor(test: (codePoint: number) => boolean) {
    this.#test = test;
  }

  has(codePoint: number): boolean {
    const memory = this.#memory ??= new Uint8Array(0x110000);
    const known = memory[codePoint];
    if (known !== 0) return known === YES;
    const holds = this.#test(codePoint);
    memory[codePoint] = holds ? YES : NO;
    return holds;
  }

  static of(...codePoints: number[]): CharSet {
    return new CharSet((c) => codePoints.includes(c));
  }

  static range(first: number, last: number): CharSet {
    return new CharSet((c) => c >= first && c <= last);
  }

  static union(sets: readonly CharSet[]): CharSet {
    return sets.length === 1 ? sets[0] : new CharSet((c) => sets.some((set) => set.has(c)));
  }

  and(other: CharSet): CharSet {
    return new CharSet((c) => this.has(c) && other.has(c));
  }

  not(): CharSet {
    return new CharSet((c) => !this.has(c));
  }
}

const known = new Map<string, CharSet | undefined>();

/** The set of a JavaScript property expression (`L`, `Script=Han`), or undefined where there is none such. */
function fromProperty(expression: string): CharSet | undefined {
  if (!known.has(expression)) {
    let pattern: RegExp | undefined;
    try {
      pattern = new RegExp(`^\\p{${expression}}$`, "u");
    } catch {
      // No such property.
    }
    known.set(expression, pattern && new CharSet((c) => pattern.test(String.fromCodePoint(c))));
  }
  return known.get(expression);
}

/** A set by a JavaScript property that exists. */
export function property(expression: string): CharSet {
  return fromProperty(expression)!;
}

/** Names that Oniguruma has beside Unicode's. As its tables (and POSIX brackets) have them. */
const ONIGURUMA: Record<string, () => CharSet> = {
  any: () => new CharSet(() => true),
  alnum: () => CharSet.union([property("Alphabetic"), property("Nd")]),
  alpha: () => property("Alphabetic"),
  ascii: () => CharSet.range(0, 0x7f),
  blank: () => CharSet.union([property("Zs"), CharSet.of(9)]),
  cntrl: () => property("Cc"),
  digit: () => property("Nd"),
  graph: () => CharSet.union(["White_Space", "Cc", "Cn", "Cs"].map(property)).not(),
  lower: () => property("Lowercase"),
  print: () => CharSet.union([GRAPH(), property("Zs")]),
  punct: () => CharSet.union([property("P"), property("S")]),
  space: () => property("White_Space"),
  upper: () => property("Uppercase"),
  word: () => CharSet.union(LETTERS),
  xdigit: () => property("ASCII_Hex_Digit"),
};
const GRAPH = () => ONIGURUMA.graph();

const LETTERS = ["Alphabetic", "M", "Nd", "Pc"].map(property);
/** `\w` of Oniguruma, which (unlike its `[[:word:]]`) has Latin-1's superscripts and fractions. */
export const WORD: CharSet = CharSet.union([...LETTERS, CharSet.of(0xb2, 0xb3, 0xb9, 0xbc, 0xbd, 0xbe)]);
/** `\w` of Rust's regex crate. */
export const RUST_WORD: CharSet = CharSet.union([...LETTERS, property("Join_Control")]);
/** `\s` of Oniguruma and of Rust: Unicode's White_Space (not JavaScript's, which has U+FEFF and lacks U+0085). */
export const SPACE: CharSet = property("White_Space");

/** The set that Oniguruma calls `name`, or undefined: general categories, scripts, binary properties, POSIX names. */
export function namedSet(name: string): CharSet | undefined {
  const own = ONIGURUMA[name.toLowerCase()];
  if (own) return own();
  return fromProperty(name) ?? fromProperty(`Script=${name}`);
}
