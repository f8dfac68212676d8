/**
 * Attention as the tuner meets it: each pass on packed preference pairs of random numbers.
 */
import type { Gpu } from "../gpu/device.ts";
import { type Family, familyOf, type Problem, type ProblemTensor } from "./tuner.ts";
import { attention, attentionBackward, type AttentionShape } from "../ops/attention.ts";
import {
  attentionChoices,
  type AttentionProblem,
  attentionVariant,
  attentionVariants,
  defaultVariant,
  sizeOf,
} from "../ops/attention_tile.ts";

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

/** Softmax attention, forward and backward. */
export const attentionFamily: Family = familyOf(attentionChoices, (gpu, problem, key) => ({
  flops: flopsOf(problem, problem.rows * SEEN),
  example: () => attentionExample(gpu, key, problem),
}));

function flopsOf({ pass, heads, headSize }: AttentionProblem, seen: number): number {
  return 2 * PRODUCTS[pass] * seen * heads * headSize;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}

function attentionExample(gpu: Gpu, key: string, met: AttentionProblem): Problem {
  const problem = { ...met, rows: rowsOf(gpu, met) };
  const { pass, rows, heads, kvHeads, headSize } = problem;
  const { query, seen } = packedPairs(rows);
  const size = sizeOf(problem);
  const usable = attentionVariants.filter((variant) =>
    // Lanes that work together run one after the other on software adapters.
    variant.supports(gpu, size) && !(variant.name === "group" && gpu.adapterClass === "software")
  );
  const shape = { heads, kvHeads, headSize, scale: headSize ** -0.5 };
  return {
    key,
    flops: flopsOf(problem, sum(seen)),
    tensors: {
      qkv: { shape: [rows, (heads + 2 * kvHeads) * headSize] },
      query: { shape: [rows, 4], data: query },
      ...(pass === "forward" ? forwardTensors(problem) : backwardTensors(problem, seen)),
    },
    variants: usable.map(({ name }) => name),
    fallback: defaultVariant(gpu, size).name,
    // Sums of up to 320 terms of a sign differ by their order, and exponentials by their arguments' rounding: 1e-6.
    tolerance: 1e-5,
    record: pass === "forward" ? recordForward(shape) : recordBackward(shape),
  };
}

function rowsOf(gpu: Gpu, problem: AttentionProblem): number {
  let rows = Math.min(problem.rows, MOST_ROWS[gpu.adapterClass]);
  const tooMuch = () => flopsOf(problem, rows * SEEN) > MOST_FLOPS[gpu.adapterClass];
  while (rows / 2 >= LEAST_ROWS && tooMuch()) rows = Math.ceil(rows / 2);
  return rows;
}

function forwardTensors({ rows, heads, headSize }: AttentionProblem): Record<string, ProblemTensor> {
  return {
    o: { shape: [rows, heads * headSize], output: true },
    lse: { shape: [rows, heads], output: true },
  };
}

/** Any o and dO will do. As lse serves that of equal scores, ln of the keys seen: so weights are of their usual size. */
function backwardTensors(
  { rows, heads, kvHeads, headSize }: AttentionProblem,
  seen: readonly number[],
): Record<string, ProblemTensor> {
  const lse = Float32Array.from({ length: rows * heads }, (_, i) => Math.log(seen[Math.floor(i / heads)]!));
  return {
    o: { shape: [rows, heads * headSize] },
    dO: { shape: [rows, heads * headSize] },
    lse: { shape: [rows, heads], data: lse },
    key: { shape: [rows, 8], data: packedKeys(rows) },
    dqkv: { shape: [rows, (heads + 2 * kvHeads) * headSize], output: true },
  };
}

function recordForward(shape: AttentionShape): Problem["record"] {
  return (rec, variant, { qkv, query, o, lse }) => {
    const tile = attentionVariant(variant).tile(shape.headSize);
    const made = attention(rec, qkv!, query!, shape, { name: "attention", tile });
    rec.copy(made.o, o!);
    rec.copy(made.lse, lse!);
  };
}

function recordBackward(shape: AttentionShape): Problem["record"] {
  return (rec, variant, { qkv, query, key, o, lse, dO, dqkv }) => {
    const tile = attentionVariant(variant).tile(shape.headSize);
    const saved = { qkv: qkv!, o: o!, lse: lse!, dO: dO!, queryRanges: query!, keyRanges: key! };
    rec.copy(attentionBackward(rec, saved, shape, { name: "attention", tile }), dqkv!);
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
