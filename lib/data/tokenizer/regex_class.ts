/**
 * Character classes of Oniguruma's expressions: ranges, escapes, POSIX brackets, classes in classes, `&&`.
 */
import { CharSet, namedSet } from "./char_set.ts";
import { foldAscii, PatternError, readEscape } from "./regex_escape.ts";

/** Reads one class, whose `[` stands at `start`. */
export class ClassReader {
  readonly #chars: readonly string[];
  readonly #ignoreCase: boolean;
  /** The place behind the class, when it has been read. */
  at: number;

  constructor(chars: readonly string[], { start, ignoreCase }: { start: number; ignoreCase: boolean }) {
    this.#chars = chars;
    this.#ignoreCase = ignoreCase;
    this.at = start;
  }

  read(): CharSet {
    this.at++;
    const negative = this.#chars[this.at] === "^";
    if (negative) this.at++;
    let left: CharSet | undefined, parts: CharSet[] = [], first = true;
    const join = () => {
      const right = parts.length === 0 ? new CharSet(() => false) : CharSet.union(parts);
      left = left ? left.and(right) : right;
      parts = [];
    };
    for (;; first = false) {
      const char = this.#chars[this.at];
      if (char === undefined) throw new PatternError("a [ without its ]");
      if (char === "]" && !first) break;
      if (char === "&" && this.#chars[this.at + 1] === "&") {
        this.at += 2;
        join();
      } else parts.push(this.#item());
    }
    this.at++;
    join();
    const set = this.#ignoreCase ? this.#folded(left!) : left!;
    return negative ? set.not() : set;
  }

  #folded(set: CharSet): CharSet {
    for (let c = 0x80; c < 0x3000; c++) {
      if (set.has(c)) throw new PatternError("a class with characters beyond ASCII under (?i)");
    }
    return new CharSet((c) => {
      const lower = foldAscii(c);
      return set.has(c) || set.has(lower) || (lower >= 0x61 && lower <= 0x7a && set.has(lower - 32));
    });
  }

  #item(): CharSet {
    const start = this.#chars[this.at];
    if (start === "[") {
      return this.#posix() ?? this.read();
    }
    const doubled = start === "-" && this.#chars[this.at + 1] === "-" && this.#chars[this.at + 2] !== "]";
    if (doubled) throw new PatternError("a -- in a class");
    const first = this.#single();
    if (typeof first !== "number") return first;
    const dash = this.#chars[this.at] === "-", after = this.#chars[this.at + 1];
    if (
      !dash || after === undefined || after === "]" || (after === "&" && this.#chars[this.at + 2] === "&")
    ) {
      return CharSet.of(first);
    }
    this.at++;
    const last = after === "[" ? new CharSet(() => false) : this.#single();
    if (typeof last !== "number") throw new PatternError("a range that ends in a class");
    if (last < first) throw new PatternError("a range whose end is before its start");
    return CharSet.range(first, last);
  }

  #single(): CharSet | number {
    const char = this.#chars[this.at++];
    if (char !== "\\") return char.codePointAt(0)!;
    if (this.#chars[this.at] === undefined) throw new PatternError("a backslash at the end");
    if (this.#chars[this.at] === "b") {
      this.at++;
      return 8;
    }
    const { value, at } = readEscape(this.#chars, this.at);
    this.at = at;
    return value;
  }

  #posix(): CharSet | undefined {
    const match = /^\[:(\^?)([a-z]+):\]/.exec(this.#chars.slice(this.at, this.at + 14).join(""));
    if (!match) return undefined;
    const set = namedSet(match[2]);
    if (!set) throw new PatternError(`the bracket [:${match[2]}:]`);
    this.at += match[0].length;
    return match[1] === "^" ? set.not() : set;
  }
}
