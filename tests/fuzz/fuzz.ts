/** Damaged files for every reader, bounded in number and in time; a reader that hangs is named and passed over. */
import { makeSeeds } from "./seeds.ts";
import type { Order, Report } from "./worker.ts";

/** One input that a reader did not take as it should; made again by the seed and its number. */
export interface Fault {
  readonly index: number;
  readonly target: string;
  readonly what: string;
}

export interface FuzzOptions {
  readonly seed: number;
  readonly inputs: number;
  readonly seconds: number;
  readonly only?: readonly string[];
  readonly onFault?: (fault: Fault) => void;
}

/** A reader that takes longer for one file hangs, unless it does better alone: the machine may be busy. */
const HANG_MS = 2000;

/** Runs until the inputs or the time are used up. */
export async function fuzz(options: FuzzOptions): Promise<{ inputs: number; faults: Fault[] }> {
  const made = await Deno.makeTempDir();
  const faults: Fault[] = [];
  const end = performance.now() + 1000 * options.seconds;
  let at = 0;
  try {
    await makeSeeds(made);
    while (at < options.inputs && performance.now() < end) {
      const order = {
        made,
        seed: options.seed,
        from: at,
        count: options.inputs - at,
        only: options.only ?? [],
      };
      const tell = (fault: Fault) => {
        faults.push(fault);
        options.onFault?.(fault);
      };
      const next = await runThread(order, end, tell);
      at = next.at;
      if (!next.hung) continue;
      const again = await runThread({ ...order, from: at - 1, count: 1 }, Infinity, tell);
      if (again.hung) tell({ ...next.hung, what: `takes longer than ${HANG_MS / 1000} s` });
    }
  } finally {
    await Deno.remove(made, { recursive: true });
  }
  return { inputs: at, faults };
}

/** Where a thread ended: the next input's number, and the input that took too long. */
interface Ended {
  readonly at: number;
  readonly hung?: { readonly index: number; readonly target: string };
}

/** Runs a thread until it is done, hangs or dies, or the time is over. */
function runThread(order: Order, end: number, onFault: (fault: Fault) => void): Promise<Ended> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  let current = { index: order.from, target: "(start)" }, since = Infinity;
  return new Promise((resolve) => {
    const finish = (at: number, hung?: Ended["hung"]) => {
      clearInterval(watch);
      worker.terminate();
      resolve({ at, ...(hung ? { hung } : {}) });
    };
    const watch = setInterval(() => {
      const now = performance.now();
      if (now - since > HANG_MS) finish(current.index + 1, current);
      else if (now > end) finish(current.index);
    }, 100);
    worker.onerror = (event) => {
      event.preventDefault();
      onFault({ ...current, what: `kills its thread: ${event.message}` });
      finish(current.index + 1);
    };
    worker.onmessage = ({ data }: MessageEvent<Report>) => {
      if (data.type === "done") return finish(order.from + order.count);
      if (data.type === "fault") return onFault({ index: data.index, target: data.target, what: data.what });
      current = { index: data.index, target: data.target };
      since = performance.now();
    };
    worker.postMessage(order);
  });
}
