/** Decoding's products of several rows on software adapters: register tiles of the textures of x and of the weights. */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { type DecodeProblem, formOf, fusedBindings, fusedFlags, weightWindows } from "./decode_problem.ts";
import { grid1d } from "./grid.ts";
import { FORMAT, imageOf, operand, quadsOfTexel } from "./operand.ts";

/** Rows that one tile has at most; more do not stay near the processor. */
const MOST_ROWS = 16;
/** Lanes that a software adapter computes at once: a workgroup. */
const LANES = 8;

/** Whether the kernel takes the problem: textures of the weights, everything in whole quads. */
export function fitsDecodeTile(rec: Recorder, { x, w, y, form, low }: DecodeProblem): boolean {
  const max = rec.gpu.limits.maxTextureDimension2D;
  const [B = 0, D = 0] = x.shape;
  return formOf(form).texture && D % 4 === 0 && D / 4 <= max && B <= max && y.shape[1]! % 4 === 0 &&
    w.shape[0]! % 4 === 0 && (low === undefined || low.t.shape[1]! % 4 === 0);
}

/** Records a product that fits, with the tile's columns (a multiple of 4) or what suits its sizes. */
export function recordDecodeTile(rec: Recorder, problem: DecodeProblem, columns?: number): void {
  const { x, y, swiglu, low } = problem;
  const [B = 0, D = 0] = x.shape;
  const N = y.shape[1]!;
  const doubled = swiglu ? 2 : 1;
  const { format } = formOf(problem.form);
  const H = quadsOfTexel(format);
  const TM = Math.ceil(B / Math.ceil(B / MOST_ROWS));
  const rank = low?.t.shape[1] ?? 0;
  const { image, scale } = rowsOf(rec, problem);
  for (const { window, first, rows } of weightWindows(rec.gpu, problem)) {
    const held = rows / doubled;
    const TN = columns ?? chooseColumns(held, { TM, doubled });
    rec.dispatch("decode_tile", {
      bind: {
        x: image,
        w: operand(rec, window, { format, texture: true }),
        ...(scale ? { scale } : {}),
        ...fusedBindings(problem),
      },
      constants: {
        ...{ TM, TN, FORMAT: FORMAT[format], H, ROUND: H > 2 ? 1 : H, LOW: low !== undefined },
        ...fusedFlags(problem),
      },
      params: {
        rows: B,
        columns: held,
        stride: N / 4,
        offset: first / 4,
        depth: D / 4 / H,
        low_depth: rank / 4,
      },
      grid: [...grid1d(rec.gpu, Math.ceil(held / TN / LANES)), Math.ceil(B / TM)],
      flops: 2 * B * rows * (D + rank),
    });
  }
}

/** x as an image, times the norm's gain where there is one, and the norm's scale. */
function rowsOf(rec: Recorder, { x, norm }: DecodeProblem): { image: Tensor; scale?: Tensor } {
  if (!norm) return { image: imageOf(rec, x) };
  const [B = 0, D = 0] = x.shape;
  const image = rec.texture(`${x.name}.gained`, { width: D / 4, height: B, format: "rgba32float" });
  const scale: Record<string, Tensor> = norm.unscaled ? {} : { scale: rec.tensor(`${x.name}.scale`, [B]) };
  rec.dispatch("decode_rows", {
    bind: { x, gain: norm.gain, image, ...scale },
    constants: { VEC: 4, NORM: !norm.unscaled },
    params: { rows: B, quads: D / 4, elements: D, eps: norm.eps },
    grid: grid1d(rec.gpu, Math.ceil(B / LANES)),
  });
  return { image, ...scale };
}

/**
 * Columns of a tile: more of them load less for a product, but the last round of workgroups should leave no core idle.
 * In instructions of 8 lanes: a texel's load 50, a quad's multiplications and additions 8, keeping a sum 3.
 */
function chooseColumns(columns: number, { TM, doubled }: { TM: number; doubled: number }): number {
  const cost = (TN: number) => {
    const rounds = Math.ceil(Math.ceil(columns / TN / LANES) / navigator.hardwareConcurrency);
    return rounds * (50 * (TN * doubled + TM) + 11 * TM * TN * doubled);
  };
  const widths = [16, 12, 8, 4].filter((TN) => TN * doubled <= 16);
  return widths.reduce((best, TN) => cost(TN) < cost(best) ? TN : best);
}
