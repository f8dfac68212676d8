/** Rows of a table by index and sums of rows by list, whole and in shards: the embedding and its gradient. */
import type { AdapterClass } from "../../lib/gpu/device.ts";
import { Extent } from "../../lib/gpu/tensor.ts";
import { embedding, embeddingBackward } from "../../lib/ops/embedding.ts";
import * as reference from "../reference/ops.ts";
import { type CaseTensor, float64, type OpCase, spell } from "./case.ts";
import { randomIntegers, randomNormal } from "./random.ts";
import { type Stored, storedMatrix } from "./stored.ts";

/** Sizes of a case: T tokens of a vocabulary of V, rows of D. */
export interface EmbeddingSizes {
  readonly V: number;
  readonly D: number;
  readonly T: number;
  readonly used?: number;
  /** Ids lie below this. */
  readonly below?: number;
  /** The table in two shards of its rows. */
  readonly sharded?: boolean;
  readonly adapterClass?: AdapterClass;
  /** How the table is stored. */
  readonly stored?: Stored;
  /** Bytes that a binding holds at most: a larger table is read in windows of rows. */
  readonly binding?: number;
}

/** Indices beyond the rows in use would reach far outside the table. */
const BAIT = 0x3fffffff;

function tokensOf({ V, T, used = T, below = V }: EmbeddingSizes): Uint32Array<ArrayBuffer> {
  return randomIntegers(T, below, 3).fill(BAIT, used);
}

/** The whole table, or its two halves. */
function shardsOf(table: CaseTensor, { V, D, sharded }: EmbeddingSizes): Record<string, CaseTensor> {
  if (!sharded) return { table };
  const data = table.data as Float32Array<ArrayBuffer>;
  const half = Math.ceil(V / 2);
  return {
    low: { shape: [half, D], data: data.slice(0, half * D) },
    high: { shape: [V - half, D], data: data.slice(half * D) },
  };
}

function tableOf({ V, D, stored }: EmbeddingSizes): CaseTensor {
  return storedMatrix(randomNormal(V * D, 1), stored, [V, D]);
}

/** x = table's rows at the tokens. */
export function embeddingCase(sizes: EmbeddingSizes): OpCase {
  const { D, T, used = T, adapterClass } = sizes;
  return {
    name: `embedding ${spell({ ...sizes })}`,
    kernels: ["embedding"],
    flops: 0,
    bytes: 8 * T * D,
    counts: [used],
    ...(adapterClass ? { adapterClass } : {}),
    ...(sizes.binding ? { limits: { maxStorageBufferBindingSize: sizes.binding } } : {}),
    tensors: () => ({
      ...shardsOf(tableOf(sizes), sizes),
      tokens: { shape: [T], data: tokensOf(sizes), extent: Extent.tokens },
      x: { shape: [T, D], made: true },
    }),
    record: (rec, { table, low, high, tokens }) =>
      void embedding(rec, table ?? [low!, high!], tokens!, { name: "x" }),
    expected: ({ tokens }) => {
      const ids = tokens!.data!.subarray(0, used);
      const values = reference.embedding(Float64Array.from(tableOf(sizes).data!), ids, { width: D });
      return [{ tensor: "x", values, tolerance: 0, reason: "rows are copied" }];
    },
  };
}

/** The distinct ids of tokens, and where each occurs, ascending; lists are padded to the capacity with zeros. */
function uniqueTokens(tokens: Uint32Array, capacity: number) {
  const places = new Map<number, number[]>();
  tokens.forEach((id, t) => {
    const known = places.get(id);
    if (known) known.push(t);
    else places.set(id, [t]);
  });
  const ids = new Uint32Array(capacity), start = new Uint32Array(capacity + 1);
  const members = new Uint32Array(capacity);
  let at = 0;
  [...places].forEach(([id, list], u) => {
    ids[u] = id;
    start[u] = at;
    members.set(list, at);
    start[u + 1] = at += list.length;
  });
  return { ids, start, members, uniques: places.size };
}

/** Each token's row of dx added to its id's row of the table's gradient. */
export function embeddingBackwardCase(sizes: EmbeddingSizes): OpCase {
  const { V, D, T, used = T, sharded, adapterClass } = sizes;
  const tokens = tokensOf(sizes).subarray(0, used);
  const { ids, start, members, uniques } = uniqueTokens(tokens, T);
  const before = () => randomNormal(V * D, 5);
  return {
    name: `embedding backward ${spell({ ...sizes })}`,
    kernels: ["embedding_sum"],
    flops: T * D,
    bytes: 12 * T * D,
    counts: [used, 0, 0, uniques],
    ...(adapterClass ? { adapterClass } : {}),
    ...(sizes.binding ? { limits: { maxStorageBufferBindingSize: sizes.binding } } : {}),
    tensors: () => ({
      dx: { shape: [T, D], data: randomNormal(T * D, 4).fill(NaN, used * D), extent: Extent.tokens },
      uniqueIds: { shape: [T], data: ids },
      uniqueStart: { shape: [T + 1], data: start },
      uniqueTokens: { shape: [T], data: members },
      ...shardsOf({ shape: [V, D], data: before() }, sizes),
    }),
    record: (rec, { dx, uniqueIds, uniqueStart, uniqueTokens, table, low, high }) => {
      const unique = { uniqueIds: uniqueIds!, uniqueStart: uniqueStart!, uniqueTokens: uniqueTokens! };
      embeddingBackward(rec, dx!, unique, { dTable: table ?? [low!, high!] });
    },
    expected: ({ dx }) => {
      const sizes = { width: D, vocabulary: V }, known = before();
      const sums = reference.embeddingBackward(float64(dx, used * D), tokens, sizes)
        .map((value, i) => value + known[i]!);
      const rest = { tolerance: 1.2e-7, reason: "the compensated sum's rounding and that of the addition" };
      const half = Math.ceil(V / 2) * D;
      return sharded
        ? [
          { tensor: "low", values: sums.subarray(0, half), ...rest },
          { tensor: "high", values: sums.subarray(half), ...rest },
        ]
        : [{ tensor: "table", values: sums, ...rest }];
    },
    ...(sharded ? {} : {
      gradient: {
        forward: ({ table }) => reference.embedding(table!, tokens, { width: D }),
        dy: "dx",
        of: { table: { input: "table", plus: "table" } },
      },
    }),
  };
}

const SIZES: readonly EmbeddingSizes[] = [
  { V: 1, D: 1, T: 1 },
  { V: 11, D: 7, T: 30 },
  { V: 200, D: 64, T: 96, used: 40 },
  { V: 65, D: 20, T: 64 },
  // One token thousands of times: its sum is compensated.
  { V: 130, D: 8, T: 5000, below: 1 },
  // An invocation of a software adapter has 65,535 loop iterations: 64 lanes in one would need more.
  { V: 3, D: 256, T: 5000, below: 1 },
];

/** Tables stored in 16 bits, and windows of 64 rows of one that no binding holds. */
const STORED: readonly EmbeddingSizes[] = (["bf16", "f16"] as const).flatMap((stored) => [
  { V: 65, D: 24, T: 64, stored },
  { V: 200, D: 64, T: 24, used: 16, stored, binding: 128 * 100 },
]);
/** Rows of a block, and of more than one word of scales; windows of 64. */
const BLOCKS: readonly EmbeddingSizes[] = (["q8_0", "q4_0", "q4_1"] as const).flatMap((stored) => [
  { V: 65, D: 32, T: 64, stored },
  { V: 200, D: 160, T: 24, used: 16, stored, binding: 16640 },
]);
const WINDOWS: EmbeddingSizes = { V: 300, D: 64, T: 64, used: 40, binding: 256 * 100 };

export const embeddingCases: readonly OpCase[] = [
  ...[...STORED, ...BLOCKS].map(embeddingCase),
  embeddingCase(WINDOWS),
  embeddingBackwardCase(WINDOWS),
  ...everySize(),
];

function everySize(): OpCase[] {
  return (["software", "gpu"] as const).flatMap((adapterClass) =>
    SIZES.flatMap((sizes) =>
      [false, true].filter((sharded) => !sharded || sizes.V > 1).flatMap((sharded) => [
        embeddingCase({ ...sizes, sharded, adapterClass }),
        embeddingBackwardCase({ ...sizes, sharded, adapterClass }),
      ])
    )
  );
}
