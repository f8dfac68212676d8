/** Answers made in pieces: a kill undoes none that is whole, and only what is missing is asked. */
import { type RunHooks, throwIfAborted } from "../events.ts";
import { openJournal } from "../io/journal.ts";
import type { Answerer } from "./answerer.ts";

/** Loads the model for `work`; not called where nothing is left to do. */
export type WithModel = (work: (answer: Answerer) => Promise<void>) => Promise<void>;

/** What is answered together, and what that is. */
export interface AnswerWork<Item, Row, Piece extends { readonly members: readonly Item[] }> {
  readonly pieces: readonly Piece[];
  /** What an item and its row have in common, and no other has. */
  readonly keyOf: (one: Item | Row) => unknown;
  /** Throws where the rows that the file holds belong to something else. */
  readonly check: (rows: readonly Row[]) => void;
  /** A row for each member of a piece. */
  readonly make: (piece: Piece, answer: Answerer) => Promise<Row[]>;
  readonly withModel: WithModel;
  readonly hooks: RunHooks;
}

/**
 * The rows, by key, of the file at `path`, once every piece has all of its own: a piece that lacks any is answered whole,
 * and what is missing is added to the file.
 */
export async function answerPieces<Item, Row, Piece extends { readonly members: readonly Item[] }>(
  path: string,
  { pieces, keyOf, check, make, withModel, hooks }: AnswerWork<Item, Row, Piece>,
): Promise<ReadonlyMap<unknown, Row>> {
  const journal = await openJournal<Row>(path);
  try {
    check(journal.rows);
    const answers = new Map(journal.rows.map((row) => [keyOf(row), row]));
    const left = pieces.filter(({ members }) => members.some((item) => !answers.has(keyOf(item))));
    if (left.length > 0) {
      await withModel(async (answer) => {
        for (const piece of left) {
          throwIfAborted(hooks, "Answering");
          const rows = (await make(piece, answer)).filter((row) => !answers.has(keyOf(row)));
          await journal.append(rows);
          for (const row of rows) answers.set(keyOf(row), row);
        }
      });
    }
    return answers;
  } finally {
    journal.close();
  }
}
