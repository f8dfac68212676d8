/**
 * The text of a data file as it comes in, and its rows: the lines of JSONL, the elements of a JSON array. Nothing of the
 * file but the row at hand is held, so that a file may be longer than a string can be.
 */
import { InputError } from "../../errors.ts";
import type { UnparsedRow } from "./raw.ts";

/** Characters of a row at most; what is longer is taken for a damaged file. */
const LONGEST = 1 << 28;

/** A file's text in pieces, without a byte order mark. */
export async function* decoded(chunks: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let bytes = 0;
  const decode = (chunk?: Uint8Array): string => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new InputError(`${path}: not valid UTF-8 text, after byte ${bytes}. Save the file as UTF-8.`);
    }
  };
  for await (const chunk of chunks) {
    yield decode(chunk);
    bytes += chunk.length;
  }
  yield decode();
}

/** A piece of text that grows up to a bound. */
class Growing {
  #parts: string[] = [];
  #length = 0;

  constructor(readonly path: string) {}

  add(text: string): void {
    this.#parts.push(text);
    this.#length += text.length;
    if (this.#length <= LONGEST) return;
    throw new InputError(
      `${this.path}: a row of more than ${LONGEST} characters; the file is damaged, or holds no rows. A data file ` +
        "(JSONL, JSON or Parquet) was expected.",
    );
  }

  take(): string {
    const text = this.#parts.length === 1 ? this.#parts[0]! : this.#parts.join("");
    this.#parts = [];
    this.#length = 0;
    return text;
  }
}

/** The lines of JSONL that are not blank. */
export async function* lineRows(text: AsyncIterable<string>, path: string): AsyncGenerator<UnparsedRow> {
  let index = 0, line = 0;
  const rest = new Growing(path);
  const row = (): UnparsedRow[] => {
    line++;
    const text = rest.take();
    return text.trim() === "" ? [] : [{ index: index++, where: `${path}:${line}`, text }];
  };
  for await (const chunk of text) {
    let start = 0;
    for (let end; (end = chunk.indexOf("\n", start)) >= 0; start = end + 1) {
      rest.add(chunk.slice(start, end));
      yield* row();
    }
    if (start < chunk.length) rest.add(chunk.slice(start));
  }
  yield* row();
}

/** The elements of a JSON array, cut at the commas between them. */
export async function* elementRows(text: AsyncIterable<string>, path: string): AsyncGenerator<UnparsedRow> {
  const rest = new Growing(path), scanner = new ArrayScanner();
  let index = 0;
  const wrong = (found: string) =>
    new InputError(
      `${path}: begins as a JSON array but is not valid JSON (${found}). Fix the file, or save it again.`,
    );
  for await (const chunk of text) {
    for (let start = 0; start < chunk.length;) {
      const end = scanner.next(chunk, start);
      if (scanner.done && end < 0) {
        if (chunk.slice(start).trim() !== "") throw wrong("something follows its closing bracket");
        break;
      }
      rest.add(chunk.slice(start, end < 0 ? chunk.length : end));
      if (end < 0) break;
      const element = rest.take();
      start = end + 1;
      const empty = element.trim() === "";
      if (empty && scanner.done && index === 0) continue;
      if (empty) {
        throw wrong(`nothing before the ${scanner.done ? "bracket" : "comma"} after ${index} elements`);
      }
      yield { index, where: `${path}: element ${index}`, text: element };
      index++;
    }
  }
  if (!scanner.done) throw wrong(`it ends in element ${index}, without a closing bracket`);
}

const QUOTE = 0x22, COMMA = 0x2c, OPEN = 0x5b, BACKSLASH = 0x5c, CLOSE = 0x5d, BRACE = 0x7b, UNBRACE = 0x7d;

/** Where the elements of an array end. */
class ArrayScanner {
  /** Whether the array's closing bracket was seen. */
  done = false;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** The position of the comma or bracket that ends the element at hand, or -1 where it is not in this text. */
  next(text: string, from: number): number {
    if (this.done) return -1;
    let depth = this.#depth, inString = this.#inString, end = -1, i = from + Number(this.#escaped);
    this.#escaped = false;
    for (; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (inString) {
        if (code === BACKSLASH) i++; // whatever is escaped ends no string
        else if (code === QUOTE) inString = false;
      } else if (code === QUOTE) inString = true;
      else if (code === OPEN || code === BRACE) depth++;
      else if (code === CLOSE || code === UNBRACE) {
        if (depth === 0 && code === CLOSE) {
          this.done = true;
          end = i;
          break;
        }
        depth--;
      } else if (code === COMMA && depth === 0) {
        end = i;
        break;
      }
    }
    this.#escaped = end < 0 && i > text.length;
    this.#depth = depth;
    this.#inString = inString;
    return end;
  }
}
