/** Low-rank adapters of stacked layers: the blocks of the one matrix that products read, and their gradients. */
import { collapseAdapter, expandAdapter } from "../../lib/ops/adapter.ts";
import { type CaseTensors, type OpCase, spell } from "./case.ts";
import { randomNormal } from "./random.ts";

/** Rows of each part of a layer; 0 columns for a part without an adapter. */
export interface AdapterSizes {
  readonly rank: number;
  readonly parts: readonly { readonly rows: number; readonly held: boolean }[];
  readonly scale: number;
}

/** Each part with its first row and column, and the whole's sizes. */
function layOut({ rank, parts }: AdapterSizes) {
  let first = 0, column = 0;
  const placed = parts.map(({ rows, held }, i) => {
    const part = { name: `b${i}`, first, rows, column: held ? column : 0, held };
    first += rows;
    if (held) column += rank;
    return part;
  });
  return { placed, N: first, width: column };
}

const REASON = "one product";

/** The whole matrix from the parts' B. */
export function expandCase(sizes: AdapterSizes): OpCase {
  const { rank, scale } = sizes;
  const { placed, N, width } = layOut(sizes);
  const held = placed.filter((part) => part.held);
  return {
    name: `adapter, expanded ${spell({ rank, scale, N, width })}`,
    kernels: ["adapter_expand"],
    flops: N * rank,
    tensors: () => ({
      ...Object.fromEntries(
        held.map((
          { name, rows },
          i,
        ) => [name, { shape: [rows, rank], data: randomNormal(rows * rank, i + 1) }]),
      ),
      whole: { shape: [N, width], made: true },
    }),
    record: (rec, t) => {
      const parts = placed.map(({ name, first, rows, column, held }) => {
        return { first, rows, column, ...(held ? { b: t[name]! } : {}) };
      });
      expandAdapter(rec, parts, { rank, width, scale, name: "whole" });
    },
    expected: (t) => {
      const values = new Float64Array(N * width);
      for (const { name, first, rows, column } of held) {
        for (let i = 0; i < rows * rank; i++) {
          values[(first + Math.floor(i / rank)) * width + column + i % rank] = scale * numbers(t, name)[i]!;
        }
      }
      return [{ tensor: "whole", values, tolerance: 1e-7, reason: REASON }];
    },
  };
}

/** The last part's dB from the whole's gradient, added where micro-batches came before. */
export function collapseCase(sizes: AdapterSizes & { readonly earlier: number }): OpCase {
  const { rank, scale, earlier } = sizes;
  const { placed, N, width } = layOut(sizes);
  const { first, rows, column } = placed.findLast((part) => part.held)!;
  return {
    name: `adapter, collapsed ${spell({ rank, scale, N, width, earlier })}`,
    kernels: ["adapter_collapse"],
    flops: rows * rank,
    counts: [0, 0, 0, 0, 0, earlier],
    tensors: () => ({
      whole: { shape: [N, width], data: randomNormal(N * width, 1) },
      db: {
        shape: [rows, rank],
        data: earlier > 0 ? randomNormal(rows * rank, 2) : new Float32Array(rows * rank).fill(NaN),
      },
    }),
    record: (rec, { whole, db }) =>
      collapseAdapter(rec, whole!, { first, rows, column, db: db!, rank, width, scale }),
    expected: (t) => {
      const values = Float64Array.from({ length: rows * rank }, (_, i) => {
        const at = (first + Math.floor(i / rank)) * width + column + i % rank;
        return scale * numbers(t, "whole")[at]! + (earlier > 0 ? numbers(t, "db")[i]! : 0);
      });
      return [{ tensor: "db", values, tolerance: 1e-7, reason: `${REASON}, and a sum` }];
    },
  };
}

const numbers = (t: CaseTensors, name: string) => t[name]!.data!;

const SIZES: readonly AdapterSizes[] = [
  { rank: 1, parts: [{ rows: 1, held: true }], scale: 1 },
  {
    rank: 4,
    parts: [{ rows: 24, held: true }, { rows: 10, held: true }, { rows: 10, held: true }],
    scale: 0.5,
  },
  {
    rank: 8,
    parts: [{ rows: 33, held: true }, { rows: 70, held: false }, { rows: 5, held: true }],
    scale: 2,
  },
];

export const adapterCases: readonly OpCase[] = [
  ...SIZES.map(expandCase),
  ...SIZES.flatMap((sizes) => [0, 3].map((earlier) => collapseCase({ ...sizes, earlier }))),
];
