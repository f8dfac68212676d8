/** The matrix product in its three layouts, by every family of kernels: a linear layer and its two gradients. */
import { Extent } from "../../lib/gpu/tensor.ts";
import { linear, linearBackwardInput, linearBackwardWeight } from "../../lib/ops/matmul.ts";
import type { MatmulLayout } from "../../lib/ops/matmul_problem.ts";
import type { Precision } from "../../lib/ops/operand.ts";
import { matmulNN, matmulNT, matmulTN, toBf16 } from "../reference/matmul.ts";
import { type CaseTensor, type CaseTensors, type OpCase, spell } from "./case.ts";
import { randomNormal } from "./random.ts";
import { type Stored, storedMatrix } from "./stored.ts";

type Floats = Float32Array<ArrayBuffer>;

/** Sizes of a case: a linear layer of K inputs and N outputs on M rows, whatever the layout. */
export interface MatmulSizes {
  readonly layout: MatmulLayout;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly compute?: Precision;
  /** `nt`, `nn`: how the weights are stored. */
  readonly stored?: Stored;
  /** Bytes that a binding holds at most: larger weights, or gradients of them, come in windows of rows. */
  readonly binding?: number;
  readonly variant?: string;
  /** `nt`: added to the product; `inPlace`: the residual is where the result goes. */
  readonly bias?: boolean;
  readonly residual?: boolean | "inPlace";
  /** `nn`, `tn`: added to what is there; `step`: only where micro-batches came before. */
  readonly accumulate?: boolean | "step";
  /** Micro-batches of the step that came before; with 0 the result holds NaN before. */
  readonly earlier?: number;
  /** Rows in use, where fewer than M. */
  readonly used?: number;
  /** Standard deviation of the inputs. */
  readonly size?: number;
}

/**
 * A float32 sum of K products in sequence errs by at most K·2^-24 of the sum of magnitudes, and as a random walk by
 * about sqrt(K)·2^-24 of the norm: 4e-6 at K = 4096. Within a norm rounding averages out further.
 */
export const matmulTolerance = (depth: number) => 2 ** -24 * (2 + Math.sqrt(depth));
const REASON = "a random walk of as many roundings as the sum has terms";

const KERNELS = ["matmul_simple", "matmul_tile", "matmul_block", "matmul_rows", "matmul_sum"];

/** `nt`: y = x·wᵀ; `nn`: dx = dy·w; `tn`: dw = dyᵀ·x. */
export function matmulCase(sizes: MatmulSizes): OpCase {
  const { layout, M, N, K, compute = "f32", used = M, earlier } = sizes;
  const counts = used < M || earlier !== undefined ? [used, M, 1, 1, 1, earlier ?? 0] : undefined;
  const result = { nt: "y", nn: "dx", tn: "dw" }[layout];
  return {
    name: `matmul ${layout} ${M}x${N}x${K} ${
      spell({ ...sizes, layout: undefined, M: undefined, N: undefined, K: undefined })
    }`
      .trim(),
    kernels: KERNELS,
    flops: 2 * M * N * K,
    ...(sizes.binding ? { limits: { maxStorageBufferBindingSize: sizes.binding } } : {}),
    ...(counts ? { counts } : {}),
    tensors: () => tensorsOf(sizes),
    record: (rec, t) => recordCase(rec, t, sizes),
    expected: (t) => {
      const depth = { nt: K, nn: N, tn: used }[layout];
      const values = expectedOf(t, sizes);
      return [{ tensor: result, values, tolerance: matmulTolerance(depth + 2), reason: REASON }];
    },
    ...(layout === "nt" || compute === "bf16" ? {} : { gradient: gradientOf(sizes) }),
  };
}

/** A product is linear: its gradient by one side does not know that side. */
function gradientOf({ layout, M, N, K, accumulate }: MatmulSizes): OpCase["gradient"] {
  const input = layout === "nn" ? "x" : "w", output = layout === "nn" ? "dx" : "dw";
  return {
    forward: ({ x, w }) => matmulNT(x!, w!, { M, N, K }),
    others: { [input]: new Float64Array(layout === "nn" ? M * K : N * K) },
    dy: "dy",
    of: { [output]: { input, ...(accumulate ? { plus: output } : {}) } },
  };
}

function tensorsOf(sizes: MatmulSizes): CaseTensors {
  const { layout, M, N, K, used = M, size = 1, bias, residual, earlier, stored } = sizes;
  const extent = used < M ? Extent.tokens : undefined;
  const rows = (columns: number, seed: number, scale = size): CaseTensor => ({
    shape: [M, columns],
    data: randomNormal(M * columns, seed, scale).fill(NaN, used * columns),
    extent,
  });
  const matrix = (shape: readonly [number, number], seed: number, scale = size): CaseTensor => ({
    shape,
    data: randomNormal(shape[0] * shape[1], seed, scale),
  });
  const weights = (): CaseTensor => {
    const { data } = matrix([N, K], 2);
    return storedMatrix(data as Floats, stored, [N, K]);
  };
  const before = (shape: readonly [number, number]): CaseTensor =>
    sizes.accumulate && earlier !== 0 ? matrix(shape, 5, 1) : { shape };
  if (layout === "nt") {
    return {
      x: rows(K, 1),
      w: weights(),
      ...(bias ? { bias: { shape: [N], data: randomNormal(N, 4) } } : {}),
      ...(residual === true ? { residual: rows(N, 5, 1) } : {}),
      y: residual === "inPlace" ? rows(N, 5, 1) : { shape: [M, N], extent },
    };
  }
  return layout === "nn"
    ? { dy: rows(N, 3), w: weights(), dx: { ...before([M, K]), extent } }
    : { dy: rows(N, 3), x: rows(K, 1), dw: before([N, K]) };
}

function recordCase(
  rec: Parameters<OpCase["record"]>[0],
  t: Parameters<OpCase["record"]>[1],
  { layout, variant, residual, accumulate, compute: precision }: MatmulSizes,
): void {
  const pick = { precision, ...(variant === undefined ? {} : { variant }) };
  if (layout === "nt") {
    const around = residual === "inPlace" ? { residual: t.y! } : t.residual ? { residual: t.residual } : {};
    linear(rec, t.x!, t.w!, {
      name: "y",
      out: t.y!,
      ...(t.bias ? { bias: t.bias } : {}),
      ...around,
      ...pick,
    });
  } else if (layout === "nn") {
    linearBackwardInput(rec, t.dy!, t.w!, {
      name: "dx",
      out: t.dx!,
      accumulate: accumulate === true,
      ...pick,
    });
  } else {
    linearBackwardWeight(rec, t.dy!, t.x!, { dw: t.dw!, accumulate: accumulate ?? false, ...pick });
  }
}

function expectedOf(t: CaseTensors, sizes: MatmulSizes): Float64Array {
  const { layout, M, N, K, used = M, compute, residual, accumulate, earlier } = sizes;
  const round = compute === "bf16" ? toBf16 : (value: number) => value;
  const read = (name: string, columns: number, count = used) => {
    const { data, stored } = t[name]!;
    const values = (data as Float32Array).subarray(0, count * columns);
    return Float64Array.from(values, stored ? (value) => value : round); // what is stored is not rounded again
  };
  const plain = (name: string) => t[name]!.data as Float32Array;
  if (layout === "nt") {
    const y = matmulNT(read("x", K), read("w", K, N), { M: used, N, K });
    const around = residual === "inPlace" ? plain("y") : residual ? plain("residual") : undefined;
    return y.map((value, i) => value + (t.bias ? plain("bias")[i % N]! : 0) + (around ? around[i]! : 0));
  }
  const product = layout === "nn"
    ? matmulNN(read("dy", N), read("w", K, N), { M: used, N: K, K: N })
    : matmulTN(read("dy", N), read("x", K), { M: N, N: K, K: used });
  const before = accumulate && earlier !== 0 ? plain(layout === "nn" ? "dx" : "dw") : undefined;
  return before ? product.map((value, i) => value + before[i]!) : product;
}
