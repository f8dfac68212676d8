/** The log-probability head: whole and in chunks of the vocabulary, and its gradient. */
import { Extent } from "../../lib/gpu/tensor.ts";
import { logprobHead, logprobHeadBackward } from "../../lib/model/head.ts";
import type { RowVariant } from "../../lib/ops/rows.ts";
import * as reference from "../reference/ops.ts";
import { type CaseTensors, float64, type OpCase, spell } from "./case.ts";
import { randomIntegers, randomNormal } from "./random.ts";

/** Sizes of a case: N scored positions of width D, a vocabulary of V. */
export interface HeadSizes {
  readonly N: number;
  readonly D: number;
  readonly V: number;
  readonly used?: number;
  readonly chunk?: number;
  /** Standard deviation of the logits. */
  readonly size?: number;
  /** The head's matrix is not trained. */
  readonly frozen?: boolean;
  /** Largest relative error in norm of the gradients. */
  readonly tolerance?: number;
  readonly variant?: RowVariant;
}

function tensorsOf({ N, D, V, used = N, size = 2 }: HeadSizes): CaseTensors {
  const extent = Extent.targets;
  return {
    h: { shape: [N, D], data: randomNormal(N * D, 1).fill(NaN, used * D), extent },
    w: { shape: [V, D], data: randomNormal(V * D, 2, size / Math.sqrt(D)) },
    ids: { shape: [N], data: randomIntegers(N, V, 3) },
  };
}

function common({ N, used = N, variant }: HeadSizes): Pick<OpCase, "counts" | "adapterClass"> {
  const adapterClass = variant && ({ thread: "software", group: "gpu" } as const)[variant];
  return { counts: [0, used], ...(adapterClass ? { adapterClass } : {}) };
}

function titleOf({ tolerance: _, ...sizes }: HeadSizes): string {
  return spell({ ...sizes });
}

/** What every forward pass takes. */
function chunkOf({ chunk, variant }: HeadSizes) {
  return { name: "head", ...(chunk ? { chunk } : {}), ...(variant ? { variant } : {}) };
}

/** Log-probabilities of the targets. */
export function headCase(sizes: HeadSizes): OpCase {
  const { N, D, V, used = N } = sizes;
  return {
    name: `head ${titleOf({ ...sizes, frozen: false })}`,
    kernels: ["logprob"],
    flops: 4 * N * V,
    ...common(sizes),
    tensors: () => ({
      ...tensorsOf(sizes),
      "head.logp": { shape: [N], made: true },
    }),
    record: (rec, { h, w, ids }) =>
      void logprobHead(rec, h!, { weight: { value: w! } }, { targetIds: ids!, ...chunkOf(sizes) }),
    expected: ({ h, w, ids }) => {
      const options = { targets: ids!.data!, rows: used, width: D, vocabulary: V };
      const { logp } = reference.logprobs(float64(h, used * D), float64(w), options);
      const reason = "the products' own rounding: a few 1e-7";
      // One word has all the probability: exactly 0.
      return [
        { tensor: "head.logp", values: logp, tolerance: V === 1 ? 0 : 3e-7, reason },
      ];
    },
  };
}

/** dh, and dw added to what is there. Target used / 2 is a dummy: its coefficient is 0. */
export function headBackwardCase(sizes: HeadSizes): OpCase {
  const { N, D, V, used = N, frozen = false, tolerance = 6e-7 } = sizes;
  const dummy = used >> 1;
  const optionsOf = (targets: ArrayLike<number>) => ({ targets, rows: used, width: D, vocabulary: V });
  return {
    name: `head backward ${titleOf(sizes)}`,
    kernels: ["logprob_backward"],
    flops: 4 * N * V,
    inPlace: true,
    ...common(sizes),
    tensors: () => {
      const coef = randomNormal(N, 4).fill(NaN, used);
      coef[dummy] = 0;
      return {
        ...tensorsOf(sizes),
        coef: { shape: [N], data: coef, extent: Extent.targets },
        dw: { shape: [V, D], data: randomNormal(V * D, 5) },
        "head.dh": { shape: [N, D], made: true },
      };
    },
    record: (rec, { h, w, ids, coef, dw }) => {
      const head = { weight: { value: w!, ...(frozen ? {} : { grad: dw! }) } };
      const { saved } = logprobHead(rec, h!, head, { targetIds: ids!, ...chunkOf(sizes) });
      logprobHeadBackward(rec, coef!, head, { h: h!, targetIds: ids!, saved, name: "head" });
    },
    expected: ({ h, w, ids, coef, dw: before }) => {
      const [h64, w64] = [float64(h, used * D), float64(w)];
      const { lse } = reference.logprobs(h64, w64, optionsOf(ids!.data!));
      const known = { ...optionsOf(ids!.data!), w: w64, lse };
      const { dx, dw } = reference.logprobsBackward(float64(coef, used), h64, known);
      const reason = "the products' own rounding: a few 1e-7";
      const kept = float64(before);
      return [
        // A vocabulary of one word has no gradient at all.
        { tensor: "head.dh", values: dx, tolerance: V === 1 ? 0 : tolerance, reason },
        {
          tensor: "head.dh",
          part: { name: "dummy", take: (all) => all.subarray(dummy * D, (dummy + 1) * D) },
          values: new Float64Array(D),
          tolerance: 0,
          reason: "a coefficient of 0",
        },
        {
          tensor: "dw",
          values: frozen ? kept : dw.map((value, i) => value + kept[i]!),
          tolerance: frozen || V === 1 ? 0 : tolerance,
          reason,
        },
      ];
    },
    ...(frozen ? {} : {
      gradient: {
        forward: ({ h, w }) => reference.logprobs(h!, w!, optionsOf(randomIntegers(N, V, 3))).logp,
        dy: "coef",
        of: { "head.dh": { input: "h" }, dw: { input: "w", plus: "dw" } },
      },
    }),
  };
}

const SIZES: readonly HeadSizes[] = [
  { N: 1, D: 1, V: 1 },
  { N: 5, D: 3, V: 7 },
  { N: 24, D: 16, V: 64, chunk: 64 },
  { N: 24, D: 16, V: 200, chunk: 64, used: 16 },
  { N: 16, D: 12, V: 259, chunk: 128, frozen: true },
  { N: 40, D: 32, V: 320, used: 8 },
  // Logits of a few tens: their own rounding, 2e-6 absolute, is what the probabilities see.
  { N: 16, D: 32, V: 300, size: 30, chunk: 64, tolerance: 1e-5 },
];

export const headCases: readonly OpCase[] = (["thread", "group"] as const).flatMap((variant) =>
  SIZES.flatMap((sizes) => [headCase({ ...sizes, variant }), headBackwardCase({ ...sizes, variant })])
);
