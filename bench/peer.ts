/** Other programs that the bench compares with. */
import type { MatmulLayout } from "../lib/ops/matmul_problem.ts";

/** Another library's matrix product on the same adapter, in the same process. */
export interface MatmulPeer {
  readonly name: string;
  /** What it says about its adapter. */
  readonly adapter: string;
  /** Uploads two matrices as stored for a layout: `rows x columns` each. */
  prepare(problem: PeerProblem): PeerProduct;
}

export interface PeerMatrix {
  readonly data: Float32Array;
  readonly shape: readonly [number, number];
}

export interface PeerProblem {
  readonly layout: MatmulLayout;
  readonly left: PeerMatrix;
  readonly right: PeerMatrix;
}

export interface PeerProduct {
  /** Computes the product `count` times and waits for the last one once. */
  run(count: number): Promise<void>;
  /** Computes it once and reads it. */
  read(): Promise<ArrayLike<number>>;
  dispose(): void;
}

/** Loads the peers that can be had; `note` is told of the others. */
export async function loadMatmulPeers(note: (text: string) => void): Promise<MatmulPeer[]> {
  const peers: MatmulPeer[] = [];
  for (const file of ["tfjs", "jax"]) {
    try {
      // No literal: the packages are fetched when they are asked for, and not for the bench as such.
      const module = await import(new URL(`./peers/${file}.ts`, import.meta.url).href) as {
        open(): Promise<MatmulPeer>;
      };
      peers.push(await module.open());
    } catch (error) {
      note(`${file} is left out: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  return peers;
}

/** A Python program that answers a line with a line of JSON. */
export class PythonPeer {
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  readonly #errors: Promise<string>;
  #rest = "";

  constructor(python: string, script: string, args: readonly string[]) {
    const path = decodeURIComponent(new URL(`./peers/${script}`, import.meta.url).pathname);
    this.#process = new Deno.Command(python, {
      args: [path, ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#writer = this.#process.stdin.getWriter();
    this.#reader = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#errors = new Response(this.#process.stderr).text();
  }

  /** The next line. */
  async read<T>(): Promise<T> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#reader.read();
      if (done) {
        const tail = (await this.#errors).trim().split("\n").slice(-4).join("\n");
        throw new Error(`the Python program ended:\n${tail}`);
      }
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return JSON.parse(line) as T;
  }

  /** Asks for a round. */
  async ask<T>(line = "go"): Promise<T> {
    await this.#writer.write(new TextEncoder().encode(line + "\n"));
    return await this.read<T>();
  }

  async end(): Promise<void> {
    try {
      await this.#writer.write(new TextEncoder().encode("end\n"));
      await this.#writer.close();
    } catch {
      // it has ended already
    }
    await this.#process.status;
    await this.#errors;
  }
}
