/**
 * Linear layers: forward, the gradients of input, weight and bias. Weights are `[outputs, inputs]` as in PyTorch.
 *
 * Rows of activations beyond a tensor's extent are neither read into sums nor written. Under the precision `bf16` what
 * is stored in float32 is rounded to bf16 as it is read; sums are float32 always. A weight that one binding does not
 * hold is read in windows of its rows.
 */
import type { Recorder } from "../gpu/recorder.ts";
import { rowWindow, type Tensor } from "../gpu/tensor.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";
import { accumulateFlag } from "./matmul_simple.ts";
import { addParts, PLAIN } from "./matmul_sum.ts";
import type { Accumulate, MatmulProblem } from "./matmul_problem.ts";
import { matmulOp } from "./matmul_variants.ts";
import { asMatrix, bindableRows, type Precision } from "./operand.ts";

interface ProductOptions {
  /** By default `f32`. */
  readonly precision?: Precision | undefined;
  /** Asks for one variant by name (tests, tuning); it must support the product. */
  readonly variant?: string;
}

/** `y[M, N] = x[M, K] · w[N, K]ᵀ (+ bias[N]) (+ residual[M, N])`. `out` may be `residual`. */
export function linear(
  rec: Recorder,
  x: Tensor,
  w: Tensor,
  options: { name: string; bias?: Tensor; residual?: Tensor; out?: Tensor } & ProductOptions,
): Tensor {
  const left = asMatrix(x);
  const right = asMatrix(w);
  const [rows, depth] = sizes(left);
  const [columns, inputs] = sizes(right);
  if (depth !== inputs) mismatch(`linear ${options.name}: the rows of x and w differ`, { x, w });
  const y = options.out ?? rec.tensor(options.name, [rows, columns], { extent: x.extent });
  const { bias, residual } = options;
  wantShape(`linear ${options.name}: y`, y, [rows, columns]);
  if (bias) wantShape(`linear ${options.name}: bias`, bias, [columns]);
  if (residual) wantShape(`linear ${options.name}: residual`, residual, [rows, columns]);
  // One dispatch may not bind a buffer both for reading and for writing.
  const inPlace = residual === y;
  const { precision = "f32" } = options;
  for (const { window, first, rows: held } of bindableRows(rec.gpu, right)) {
    product(rec, options.variant, {
      ...{ layout: "nt", left, right: window, result: y, rows, columns: held, depth, extent: x.extent },
      ...(bias ? { bias: held < columns ? rowWindow(bias, first, first + held) : bias } : {}),
      ...(residual && !inPlace ? { residual } : {}),
      ...{ accumulate: inPlace, precision, resultFirst: first, resultStride: columns },
    });
  }
  return y;
}

/** `dx[M, K] = dy[M, N] · w[N, K]`; with `accumulate`, `+=` into `out`. */
export function linearBackwardInput(
  rec: Recorder,
  dy: Tensor,
  w: Tensor,
  options: { name: string; out?: Tensor; accumulate?: boolean } & ProductOptions,
): Tensor {
  const left = asMatrix(dy);
  const right = asMatrix(w);
  const [rows, depth] = sizes(left);
  const [outputs, columns] = sizes(right);
  if (depth !== outputs) {
    mismatch(`linearBackwardInput ${options.name}: dy and w differ in outputs`, { dy, w });
  }
  if (options.accumulate && !options.out) {
    throw new RangeError(`linearBackwardInput ${options.name}: accumulate wants a tensor to add to (out).`);
  }
  const dx = options.out ?? rec.tensor(options.name, [rows, columns], { extent: dy.extent });
  wantShape(`linearBackwardInput ${options.name}: dx`, dx, [rows, columns]);
  const { precision = "f32" } = options;
  for (const { window, first, rows: held } of bindableRows(rec.gpu, right)) {
    product(rec, options.variant, {
      ...{ layout: "nn", left, right: window, result: dx, rows, columns, depth: held, extent: dy.extent },
      ...{ accumulate: first > 0 || (options.accumulate ?? false), precision, leftFirst: first },
    });
  }
  return dx;
}

/** `dw[N, K] += dy[M, N]ᵀ · x[M, K]` over the rows in use; with `accumulate` false, `=`; for `step` see `Accumulate`. */
export function linearBackwardWeight(
  rec: Recorder,
  dy: Tensor,
  x: Tensor,
  options: { dw: Tensor; accumulate?: Accumulate } & ProductOptions,
): void {
  const left = asMatrix(dy);
  const right = asMatrix(x);
  const [depth, rows] = sizes(left);
  const [inputRows, columns] = sizes(right);
  const { dw, accumulate = true } = options;
  if (depth !== inputRows) mismatch(`linearBackwardWeight ${dw.name}: dy and x differ in rows`, { dy, x });
  wantShape(`linearBackwardWeight: dw ${dw.name}`, dw, [rows, columns]);
  const { precision = "f32" } = options;
  for (const { window, first, rows: held } of bindableRows(rec.gpu, dw)) {
    product(rec, options.variant, {
      ...{ layout: "tn", left, right, result: window, rows: held, columns, depth, extent: dy.extent },
      ...{ accumulate, precision, leftFirst: first },
    });
  }
}

/** Rows that one thread of the column sum adds up: short sums keep float32 errors small. */
const SUM_ROWS = 64;

/** `db[N] += column sums of dy[M, N]` over the rows in use, always in the same order; with `accumulate` false, `=`. */
export function biasBackward(
  rec: Recorder,
  dy: Tensor,
  options: { db: Tensor; accumulate?: Accumulate },
): void {
  const matrix = asMatrix(dy);
  const [rows, columns] = sizes(matrix);
  const { db, accumulate = true } = options;
  wantShape(`biasBackward: db ${db.name}`, db, [columns]);
  const splits = Math.max(1, Math.ceil(rows / SUM_ROWS));
  const extent = dy.extent ?? NO_EXTENT;
  const partial = rec.tensor(`${db.name}.partial`, [splits, columns]);
  rec.dispatch("column_sum", {
    constants: { ROWS: SUM_ROWS },
    bind: { dy: matrix, partial },
    params: { rows, columns, extent },
    grid: grid1d(rec.gpu, Math.ceil(splits * columns / 64)),
    flops: rows * columns,
  });
  addParts(rec, {
    ...{ partial, rows: 1, columns, first: 0, stride: columns, parts: splits },
    sum: { depth: rows, split: SUM_ROWS, extent: dy.extent },
    flags: { ...PLAIN, ACCUMULATE: accumulateFlag(accumulate) },
    bind: { result: db },
  });
}

function product(rec: Recorder, name: string | undefined, problem: MatmulProblem): void {
  if (problem.rows === 0 || problem.columns === 0) return;
  matmulOp.record(rec, problem, name);
}

function sizes(matrix: Tensor): [number, number] {
  return [matrix.shape[0]!, matrix.shape[1]!];
}

function wantShape(what: string, tensor: Tensor, shape: readonly number[]): void {
  const size = shape.reduce((product, n) => product * n, 1);
  const found = tensor.shape.reduce((product, n) => product * n, 1);
  if (tensor.shape[0] !== shape[0] || found !== size) {
    throw new RangeError(
      `${what} is ${tensor.name} [${tensor.shape.join(", ")}], wanted [${shape.join(", ")}].`,
    );
  }
}

function mismatch(what: string, tensors: Record<string, Tensor>): never {
  const list = Object.entries(tensors).map(([role, t]) => `${role} is ${t.name} [${t.shape.join(", ")}]`);
  throw new RangeError(`${what}: ${list.join(", ")}.`);
}
