/**
 * Attention as the tuner meets it: each pass on packed preference pairs of random numbers.
 */
import type { AdapterClass } from "../gpu/device.ts";
import { attentionOp, type AttentionProblem, type AttentionShape } from "../ops/attention.ts";
import { type ExampleParts, type ProblemTensor, type TunedOp, tunedOp } from "./problem.ts";

/** Products of K numbers for each (query, key) pair: q·k and p·v; q·k twice, dO·v twice, dq, dk and dv. */
const PRODUCTS = { forward: 2, backward: 7 };
/** An example has at most so many rows, and fewer where they would be so many FLOP: a candidate shall cost little. */
const MOST_ROWS = { software: 1024, gpu: 4096 };
const MOST_FLOPS = { software: 4e8, gpu: 2e10 };
const LEAST_ROWS = 256;

/** Rows of one example pair: the prompt, and each of its two completions. */
const PROMPT = 128;
const COMPLETION = 192;
/** Keys that a row sees, on average. */
const SEEN = sum(packedPairs(PROMPT + 2 * COMPLETION).seen) / (PROMPT + 2 * COMPLETION);

/** What decides the cost of a pass. */
interface Sizes extends Pick<AttentionShape, "heads" | "kvHeads" | "headSize"> {
  readonly pass: AttentionProblem["pass"];
  readonly rows: number;
}

/** Softmax attention, forward and backward. */
export const tunedAttention: TunedOp = tunedOp(attentionOp, {
  flopsOf: (problem) => {
    const sizes = sizesOf(problem);
    return flopsOf(sizes, sizes.rows * SEEN);
  },
  partsOf: (problem, gpu) => {
    const sizes = sizesOf(problem);
    const rows = rowsOf(sizes, gpu.adapterClass);
    return sizes.pass === "forward"
      ? forwardParts({ ...sizes, rows }, problem.shape)
      : backwardParts({ ...sizes, rows }, problem.shape);
  },
});

function sizesOf({ pass, qkv, shape }: AttentionProblem): Sizes {
  return { ...shape, pass, rows: qkv.shape[0]! };
}

function flopsOf({ pass, heads, headSize }: Sizes, seen: number): number {
  return 2 * PRODUCTS[pass] * seen * heads * headSize;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}

function rowsOf(sizes: Sizes, adapterClass: AdapterClass): number {
  let rows = Math.min(sizes.rows, MOST_ROWS[adapterClass]);
  const tooMuch = () => flopsOf(sizes, rows * SEEN) > MOST_FLOPS[adapterClass];
  while (rows / 2 >= LEAST_ROWS && tooMuch()) rows = Math.ceil(rows / 2);
  return rows;
}

/** Sums of up to 320 terms of a sign differ by their order, and exponentials by their arguments' rounding: 1e-6. */
const TOLERANCE = 1e-5;

function forwardParts(sizes: Sizes, shape: AttentionShape): ExampleParts<AttentionProblem> {
  const { rows, heads, kvHeads, headSize } = sizes;
  const { query, seen } = packedPairs(rows);
  return {
    flops: flopsOf(sizes, sum(seen)),
    tensors: {
      qkv: { shape: [rows, (heads + 2 * kvHeads) * headSize] },
      query: { shape: [rows, 4], data: query },
      o: { shape: [rows, heads * headSize], output: true },
      lse: { shape: [rows, heads], output: true },
    },
    tolerance: TOLERANCE,
    assemble: ({ qkv, query, o, lse }) => ({
      pass: "forward",
      ...{ shape, qkv: qkv!, queryRanges: query!, o: o!, lse: lse! },
    }),
  };
}

/** Any o and dO will do. As lse serves that of equal scores, ln of the keys seen: so weights are of their usual size. */
function backwardParts(sizes: Sizes, shape: AttentionShape): ExampleParts<AttentionProblem> {
  const { rows, heads, kvHeads, headSize } = sizes;
  const { query, seen } = packedPairs(rows);
  const lse = Float32Array.from({ length: rows * heads }, (_, i) => Math.log(seen[Math.floor(i / heads)]!));
  const tensors: Record<string, ProblemTensor> = {
    qkv: { shape: [rows, (heads + 2 * kvHeads) * headSize] },
    query: { shape: [rows, 4], data: query },
    key: { shape: [rows, 8], data: packedKeys(rows) },
    o: { shape: [rows, heads * headSize] },
    dO: { shape: [rows, heads * headSize] },
    lse: { shape: [rows, heads], data: lse },
    dqkv: { shape: [rows, (heads + 2 * kvHeads) * headSize], output: true },
  };
  return {
    flops: flopsOf(sizes, sum(seen)),
    tensors,
    tolerance: TOLERANCE,
    assemble: ({ qkv, query, key, o, lse, dO, dqkv }) => ({
      pass: "backward",
      ...{ shape, qkv: qkv!, o: o!, lse: lse!, dO: dO!, queryRanges: query!, keyRanges: key!, dqkv: dqkv! },
    }),
  };
}

/** Where row t's pair begins, and its own run: the prompt, or one of the completions. */
function placeOf(t: number): { start: number; own: number; end: number } {
  const start = t - t % (PROMPT + 2 * COMPLETION);
  const second = start + PROMPT + COMPLETION;
  if (t < start + PROMPT) return { start, own: start, end: start + PROMPT };
  return t < second
    ? { start, own: start + PROMPT, end: second }
    : { start, own: second, end: second + COMPLETION };
}

/** What the rows of packed pairs see, as `attention` takes it, and how many keys that are. */
function packedPairs(rows: number): { query: Uint32Array<ArrayBuffer>; seen: number[] } {
  const query = new Uint32Array(rows * 4);
  const seen: number[] = [];
  for (let t = 0; t < rows; t++) {
    const { start, own } = placeOf(t);
    const shared = own === start ? 0 : PROMPT;
    query.set(shared ? [start, start + shared, own, t + 1] : [0, 0, own, t + 1], t * 4);
    seen.push(shared + t + 1 - own);
  }
  return { query, seen };
}

/** Which rows see each row. */
function packedKeys(rows: number): Uint32Array<ArrayBuffer> {
  const key = new Uint32Array(rows * 8);
  for (let t = 0; t < rows; t++) {
    const { start, own, end } = placeOf(t);
    const first = start + PROMPT, second = first + COMPLETION;
    const completions = own === start ? [first, second, second, second + COMPLETION] : [];
    // The last pair may be cut off.
    key.set([t, end, ...completions].map((row) => Math.min(row, rows)), t * 8);
  }
  return key;
}
