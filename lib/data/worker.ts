/**
 * A thread that tokenises blocks of rows with a tokenizer of its own.
 */
import { InputError } from "../errors.ts";
import { type BlockOptions, type BlockResult, tokeniseBlock } from "./block.ts";
import type { StoredRow } from "./source.ts";
import { boundTokenizer, loadTokenizer } from "./tokenizer.ts";

/** The first message to a worker: what is the same for all blocks. */
export interface WorkerSetup {
  /** Where the tokenizer is read from, what it must be, and the model's vocabulary where that bounds it. */
  readonly tokenizer: { readonly path: string; readonly hash: string; readonly bound: number | undefined };
  readonly options: Omit<BlockOptions, "tokenizer">;
}

/** A worker's answer to its setup (without `result`) and to each block. */
export type WorkerAnswer =
  | { readonly result?: BlockResult }
  /** The block is at fault: its message is for people. */
  | { readonly refused: string }
  /** The worker is: it cannot go on. */
  | { readonly failed: string };

/** This thread as its own global object has it. */
interface Scope {
  onmessage: ((event: MessageEvent<WorkerSetup | readonly StoredRow[]>) => void) | null;
  postMessage(answer: WorkerAnswer, transfer?: Transferable[]): void;
}
const scope = globalThis as unknown as Scope;

async function setUp({ tokenizer: { path, hash, bound }, options }: WorkerSetup): Promise<BlockOptions> {
  const tokenizer = await loadTokenizer(path);
  if (tokenizer.hash !== hash) throw new Error(`${path}: the tokenizer changed while it was in use`);
  return { ...options, tokenizer: bound === undefined ? tokenizer : boundTokenizer(tokenizer, bound) };
}

function answer(rows: readonly StoredRow[], options: BlockOptions): void {
  const result = tokeniseBlock(rows, options);
  scope.postMessage({ result }, [result.packed.ids.buffer, result.packed.shapes.buffer]);
}

let ready: BlockOptions | undefined;

scope.onmessage = async ({ data }) => {
  try {
    if ("tokenizer" in data) {
      ready = await setUp(data);
      scope.postMessage({});
    } else answer(data, ready!);
  } catch (error) {
    const { message } = error as Error;
    scope.postMessage(error instanceof InputError && ready ? { refused: message } : { failed: message });
  }
};
