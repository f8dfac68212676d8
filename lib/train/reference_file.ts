/**
 * The reference's sums beside a run: a file that grows batch by batch, so that a run that was cut goes on where it was.
 *
 * The first line is the key of everything that the sums depend on; every other line is one batch with its own digest.
 * A line that is not as it was written, or holds a number that is none, ends what is believed.
 */
import { sha256Hex } from "../data/tokenizer.ts";
import { appendText, readTextIfPresent } from "../io/files.ts";
import { writeWhole } from "../io/whole.ts";
import type { Mismatch } from "./mismatched.ts";
import type { References, Sums } from "./reference.ts";

/** What was scored: the row at a position, or its prompt with another row's completion. */
export type ScoredItem = readonly [row: number] | Mismatch;

/** What the reference's values depend on. */
export interface ReferenceKey {
  /** Hash over the reference's configuration and weight files. */
  readonly weights: string;
  /** Hash over the tokenizer's files and chat template. */
  readonly tokenizer: string;
  /** Hash over the tokenised rows. */
  readonly rows: string;
  readonly compute_dtype: string;
  /** LD-DPO's α. */
  readonly ld_alpha: number;
}

/** One batch of a file. */
interface Line {
  readonly items: readonly ScoredItem[];
  readonly sums: readonly Sums[];
  /** The pairs' gaps of mean log-probabilities, for the report. */
  readonly K: readonly number[];
  readonly digest: string;
}

/** The file's key. */
export function referenceKey(key: ReferenceKey): Promise<string> {
  const { weights, tokenizer, rows, compute_dtype, ld_alpha } = key;
  return sha256Hex(JSON.stringify([weights, tokenizer, rows, compute_dtype, ld_alpha]));
}

/** See the module's description. */
export class ReferenceFile implements References {
  readonly #sums = new Map<string, Sums>();

  private constructor(readonly path: string, readonly key: string) {}

  /** Opens the file with what it holds for `key`; what is of another key, or damaged, is left out and computed anew. */
  static async open(
    path: string,
    { key, sides }: { key: string; sides: (item: ScoredItem) => number },
  ): Promise<ReferenceFile> {
    const file = new ReferenceFile(path, key);
    const [head, ...lines] = (await readTextIfPresent(path) ?? "").split("\n");
    const good: string[] = [];
    if (head === headLine(key)) {
      for (const text of lines) {
        const line = await readLine(text, sides);
        if (!line) break;
        file.#take(line);
        good.push(text);
      }
    }
    const kept = [headLine(key), ...good].join("\n") + "\n";
    if ([head, ...lines].join("\n") !== kept) await writeWhole(path, kept);
    return file;
  }

  has(item: ScoredItem): boolean {
    return this.#sums.has(item.join());
  }

  sums(row: number): Sums | undefined {
    return this.#sums.get(String(row));
  }

  mismatched(pair: Mismatch): number {
    const sums = this.#sums.get(pair.join());
    if (!sums) {
      throw new Error(`${this.path} lacks row ${pair[0]}'s prompt with row ${pair[1]}'s completion.`);
    }
    return sums[0]!;
  }

  /** Adds a batch. What is known already stays as it was. */
  async append(batch: Omit<Line, "digest">): Promise<void> {
    const line = { ...batch, digest: await digestOf(batch) };
    await appendText(this.path, JSON.stringify(line) + "\n");
    this.#take(line);
  }

  #take({ items, sums }: Line): void {
    items.forEach((item, i) => {
      if (!this.has(item)) this.#sums.set(item.join(), sums[i]!);
    });
  }
}

function headLine(key: string): string {
  return JSON.stringify({ reference: key });
}

async function digestOf({ items, sums, K }: Omit<Line, "digest">): Promise<string> {
  return (await sha256Hex(JSON.stringify([items, sums, K]))).slice(0, 16);
}

/** A line's batch; undefined where it is not whole and right. */
async function readLine(text: string, sides: (item: ScoredItem) => number): Promise<Line | undefined> {
  try {
    const line = JSON.parse(text) as Line;
    if (line.digest !== await digestOf(line)) return undefined;
    const right = line.items.every((item, i) =>
      line.sums[i]!.length === sides(item) && line.sums[i]!.every(Number.isFinite)
    );
    return right && line.items.length === line.sums.length ? line : undefined;
  } catch {
    return undefined; // cut off while it was written, or not a batch at all
  }
}
