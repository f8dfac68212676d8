/**
 * Attention as the tuner meets it: each pass on packed preference pairs of random numbers.
 */
import { emptyRanges, Visibility } from "../data/visibility.ts";
import type { AdapterClass } from "../gpu/device.ts";
import { attentionOp, type AttentionProblem, type AttentionShape } from "../ops/attention.ts";
import { type ExampleParts, type ProblemTensor, type TunedOp, tunedOp } from "./problem.ts";

/** Products of K numbers for each (query, key) pair: q·k and p·v; q·k twice, dO·v twice, dq, dk and dv. */
const PRODUCTS = { forward: 2, backward: 7 };
/** An example has at most so many rows, and fewer where they would be so many FLOP: a candidate shall cost little. */
const MAX_ROWS = { software: 1024, gpu: 4096 };
const MAX_FLOPS = { software: 4e8, gpu: 2e10 };
const MIN_ROWS = 256;

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
  let rows = Math.min(sizes.rows, MAX_ROWS[adapterClass]);
  const tooMuch = () => flopsOf(sizes, rows * SEEN) > MAX_FLOPS[adapterClass];
  while (rows / 2 >= MIN_ROWS && tooMuch()) rows = Math.ceil(rows / 2);
  return rows;
}

/** Sums of up to 320 terms of a sign differ by their order, and exponentials by their arguments' rounding: 1e-6. */
const TOLERANCE = 1e-5;

function forwardParts(sizes: Sizes, shape: AttentionShape): ExampleParts<AttentionProblem> {
  const { rows, heads, kvHeads, headSize } = sizes;
  const { queryRanges, seen } = packedPairs(rows);
  return {
    flops: flopsOf(sizes, sum(seen)),
    tensors: {
      qkv: { shape: [rows, (heads + 2 * kvHeads) * headSize] },
      query: { shape: [rows, 4], data: queryRanges },
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
  const { queryRanges, keyRanges, seen } = packedPairs(rows);
  const lse = Float32Array.from({ length: rows * heads }, (_, i) => Math.log(seen[Math.floor(i / heads)]!));
  const tensors: Record<string, ProblemTensor> = {
    qkv: { shape: [rows, (heads + 2 * kvHeads) * headSize] },
    query: { shape: [rows, 4], data: queryRanges },
    key: { shape: [rows, 8], data: keyRanges },
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

/** Packed pairs, the last one perhaps cut off, and how many keys each row sees. */
function packedPairs(rows: number): Visibility & { seen: number[] } {
  const visibility = new Visibility(emptyRanges(rows));
  const cut = (start: number, length: number) => ({
    start,
    length: Math.min(length, Math.max(0, rows - start)),
  });
  for (let start = 0; start < rows; start += PROMPT + 2 * COMPLETION) {
    const prompt = cut(start, PROMPT);
    const first = start + PROMPT;
    visibility.addRun(prompt);
    visibility.addBranches(prompt, [cut(first, COMPLETION), cut(first + COMPLETION, COMPLETION)]);
  }
  const { queryRanges } = visibility;
  const seen = Array.from({ length: rows }, (_, t) => {
    const [a0 = 0, a1 = 0, b0 = 0, b1 = 0] = queryRanges.subarray(4 * t, 4 * t + 4);
    return a1 - a0 + b1 - b0;
  });
  return Object.assign(visibility, { seen });
}
