/**
 * Blocks of rows tokenised by every core: this thread, and from where it pays one worker for each further core.
 *
 * A worker that cannot be started or breaks (no permission, no such module where the library was bundled) costs nothing
 * but its share of the speed: its blocks are done here.
 */
import { InputError } from "../errors.ts";
import { type BlockOptions, type BlockResult, tokeniseBlock } from "./block.ts";
import type { StoredRow } from "./source.ts";
import type { WorkerAnswer, WorkerSetup } from "./worker.ts";

export interface PoolOptions extends BlockOptions {
  /** Threads in all; the machine's cores by default, at most eight. */
  readonly threads?: number;
  /** Milliseconds of work after which workers are started; a tokenizer takes about as long to load. */
  readonly patienceMs?: number;
  /** Told once why fewer threads work than there could. */
  readonly onNotice?: (text: string) => void;
}

const MAX_THREADS = 8, PATIENCE_MS = 1000;
/** Blocks that wait at a worker, so that it never waits for one. */
const QUEUED = 2;

/** The blocks' results, in order. */
export async function* tokeniseBlocks(
  blocks: AsyncIterable<StoredRow[]>,
  options: PoolOptions,
): AsyncGenerator<BlockResult> {
  const pool = new Pool(options);
  try {
    for await (const rows of blocks) {
      await pool.take(rows);
      yield* pool.finished();
    }
    while (pool.owes) {
      await pool.answer();
      yield* pool.finished();
    }
  } finally {
    pool.end();
  }
}

type Outcome = BlockResult | Error;

/** This thread and its workers. */
class Pool {
  readonly #options: PoolOptions;
  readonly #most: number;
  #helpers: Helper[] = [];
  #started = false;
  #spentMs = 0;
  readonly #done = new Map<number, Outcome>();
  /** Blocks taken; blocks handed out. */
  #taken = 0;
  #next = 0;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#most = Math.min(MAX_THREADS, options.threads ?? navigator.hardwareConcurrency) - 1;
  }

  get owes(): boolean {
    return this.#next < this.#taken;
  }

  /** Gives a block to a worker that has room for it, or does it here. */
  async take(rows: readonly StoredRow[]): Promise<void> {
    if (!this.#started && this.#spentMs >= (this.#options.patienceMs ?? PATIENCE_MS)) this.#start();
    const block = this.#taken++, free = this.#helpers.find((helper) => helper.takes);
    if (free) free.send(block, rows);
    else {
      this.#here(block, rows);
      // a turn of the event loop: the workers' answers come in
      if (this.#helpers.length > 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    this.#replaceBroken();
  }

  /** Waits for an answer where the next block has none. */
  async answer(): Promise<void> {
    this.#replaceBroken();
    if (!this.#done.has(this.#next)) await Promise.race(this.#helpers.map((helper) => helper.changed()));
  }

  /** The results that are next in order. Throws the error of a block where it is its turn. */
  *finished(): Generator<BlockResult> {
    for (let outcome; (outcome = this.#done.get(this.#next)) !== undefined; this.#next++) {
      this.#done.delete(this.#next);
      if (outcome instanceof Error) throw outcome;
      yield outcome;
    }
  }

  end(): void {
    for (const helper of this.#helpers) helper.end();
  }

  #start(): void {
    this.#started = true;
    const done = (block: number, outcome: Outcome) => this.#done.set(block, outcome);
    for (let i = 0; i < this.#most; i++) this.#helpers.push(new Helper(this.#options, done));
  }

  #here(block: number, rows: readonly StoredRow[]): void {
    const start = performance.now();
    try {
      this.#done.set(block, tokeniseBlock(rows, this.#options));
    } catch (error) {
      this.#done.set(block, error as Error);
    }
    this.#spentMs += performance.now() - start;
  }

  #replaceBroken(): void {
    const broken = this.#helpers.filter(({ failure }) => failure !== undefined);
    if (broken.length === 0) return;
    this.#helpers = this.#helpers.filter(({ failure }) => failure === undefined);
    this.#options.onNotice?.(`Tokenising on fewer threads: a worker could not go on (${broken[0]!.failure})`);
    for (const helper of broken) for (const [block, rows] of helper.left()) this.#here(block, rows);
  }
}

/** What a worker is told: of the options those that are plain data. */
function setupOf(options: BlockOptions): WorkerSetup {
  const { tokenizer: { path, hash, bound }, kinds, columns, chatTemplateKwargs, strict } = options;
  const { maxLength, endIds, scoreAfterEnd, templateDate } = options;
  return {
    tokenizer: { path, hash, bound },
    options: { kinds, columns, chatTemplateKwargs, strict, maxLength, endIds, scoreAfterEnd, templateDate },
  };
}

/** A worker, and the blocks that it has not answered yet. */
class Helper {
  failure: string | undefined;
  #ready = false;
  #worker: Worker | undefined;
  readonly #waiting = new Map<number, readonly StoredRow[]>();
  readonly #done: (block: number, result: BlockResult | Error) => void;
  #wake: () => void = () => {};

  constructor(options: BlockOptions, done: (block: number, result: BlockResult | Error) => void) {
    this.#done = done;
    try {
      this.#worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    } catch (error) {
      this.failure = (error as Error).message;
      return;
    }
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerAnswer>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // or it ends the process
      this.#fail(event.message);
    };
    this.#worker.postMessage(setupOf(options));
  }

  /** Whether a block can be sent. */
  get takes(): boolean {
    return this.#ready && this.failure === undefined && this.#waiting.size < QUEUED;
  }

  send(block: number, rows: readonly StoredRow[]): void {
    this.#waiting.set(block, rows);
    this.#worker!.postMessage(rows);
  }

  /** The blocks that a broken worker owes. */
  left(): [number, readonly StoredRow[]][] {
    const left = [...this.#waiting];
    this.#waiting.clear();
    return left;
  }

  /** Settles when an answer comes in. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#wake = resolve);
  }

  end(): void {
    this.#worker?.terminate();
  }

  #receive(answer: WorkerAnswer): void {
    if ("failed" in answer) this.#fail(answer.failed);
    else if (!this.#ready) this.#ready = true;
    else {
      const [block] = this.#waiting.keys(); // it answers in order
      this.#waiting.delete(block!);
      this.#done(block!, "refused" in answer ? new InputError(answer.refused) : answer.result!);
    }
    this.#wake();
  }

  #fail(why: string): void {
    this.failure ??= why;
    this.#worker?.terminate();
    this.#wake();
  }
}
