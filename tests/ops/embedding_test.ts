/** Rows by index and sums of rows by list against the float64 reference. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { Extent, rowWindow } from "../../lib/gpu/tensor.ts";
import { embedding, embeddingBackward } from "../../lib/ops/embedding.ts";
import { randomIntegers, runCaught } from "../caught.ts";
import { difference, randomNormal } from "../harness.ts";
import * as reference from "../reference/ops.ts";

interface Case {
  readonly V: number;
  readonly D: number;
  readonly T: number;
  readonly used?: number;
  /** Ids lie below this. */
  readonly below?: number;
}

const CASES: readonly Case[] = [
  { V: 1, D: 1, T: 1 },
  { V: 11, D: 7, T: 30 },
  { V: 200, D: 64, T: 96, used: 40 },
  { V: 65, D: 20, T: 64 },
  // One token thousands of times: its sum is compensated.
  { V: 130, D: 8, T: 5000, below: 1 },
  // An invocation of a software adapter has 65,535 loop iterations: 64 lanes in one would need more.
  { V: 3, D: 256, T: 5000, below: 1 },
];

/** The distinct ids of tokens, and where each occurs, ascending; lists are padded to the capacity with NaN bait. */
function uniqueTokens(tokens: Uint32Array, capacity: number) {
  const places = new Map<number, number[]>();
  tokens.forEach((id, t) => places.set(id, [...places.get(id) ?? [], t]));
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

for (const [c, adapterClass] of CASES.flatMap((c) => [[c, "software"], [c, "gpu"]] as const)) {
  const { V, D, T, used = T, below = V } = c;
  const tokens = randomIntegers(T, below, 3);
  // Indices beyond the rows in use would reach far outside the table.
  tokens.fill(0x3fffffff, used);

  Deno.test(`embedding ${adapterClass} ${JSON.stringify(c)}`, async () => {
    const table = randomNormal(V * D, 1);
    const shards = [rowsOf(table, D, [0, Math.ceil(V / 2)]), rowsOf(table, D, [Math.ceil(V / 2), V])];
    const results = await runCaught(
      {
        table: { shape: [V, D], data: table },
        low: { shape: [shards[0]!.length / D, D], data: shards[0]! },
        high: { shape: [shards[1]!.length / D, D], data: shards[1]! },
        tokens: { shape: [T], data: tokens, extent: Extent.tokens },
      },
      { x: [T, D], sharded: [T, D] },
      {
        counts: [used],
        adapterClass,
        record: (rec, { table, low, high, tokens }) => {
          embedding(rec, table!, tokens!, { name: "x" });
          embedding(rec, [low!, high!], tokens!, { name: "sharded" });
        },
      },
    );
    const wanted = new Float32Array(T * D).fill(NaN);
    for (let t = 0; t < used; t++) wanted.set(rowsOf(table, D, [tokens[t]!, tokens[t]! + 1]), t * D);
    assertEquals(results.x, wanted);
    assertEquals(results.sharded, wanted);
  });

  Deno.test(`embeddingBackward ${adapterClass} ${JSON.stringify(c)}`, async () => {
    const dx = randomNormal(T * D, 4), before = randomNormal(V * D, 5);
    dx.fill(NaN, used * D);
    const { ids, start, members, uniques } = uniqueTokens(tokens.subarray(0, used), T);
    const half = Math.ceil(V / 2);
    const results = await runCaught(
      {
        dx: { shape: [T, D], data: dx, extent: Extent.tokens },
        uniqueIds: { shape: [T], data: ids },
        uniqueStart: { shape: [T + 1], data: start },
        uniqueTokens: { shape: [T], data: members },
        dTable: { shape: [V, D], data: before.slice() },
        low: { shape: [half, D], data: before.slice(0, half * D) },
        high: { shape: [V - half, D], data: before.slice(half * D) },
      },
      {},
      {
        counts: [used, 0, 0, uniques],
        adapterClass,
        record: (rec, { dx, uniqueIds, uniqueStart, uniqueTokens, dTable, low, high }) => {
          const unique = { uniqueIds: uniqueIds!, uniqueStart: uniqueStart!, uniqueTokens: uniqueTokens! };
          embeddingBackward(rec, dx!, unique, { dTable: dTable! });
          embeddingBackward(rec, dx!, unique, { dTable: [low!, high!] });
        },
      },
    );
    const wanted = reference.embeddingBackward(
      Float64Array.from(dx.subarray(0, used * D)),
      tokens.subarray(0, used),
      { width: D, vocabulary: V },
    );
    wanted.forEach((_, i) => wanted[i]! += before[i]!);
    // The compensated sum's rounding and that of the addition.
    const { relative } = difference(results.dTable!, wanted);
    assert(relative < 1.2e-7, `relative error ${relative}`);
    assertEquals([...results.low!, ...results.high!], [...results.dTable!]);
  });
}

function rowsOf(table: Float32Array<ArrayBuffer>, D: number, [from, to]: readonly [number, number]) {
  return table.slice(from * D, to * D);
}

Deno.test("a table larger than a binding is used by windows that cover it", () => {
  const gpu = nullGpu("gpu", { maxStorageBufferBindingSize: 100 * 6 * 4 });
  const rec = new Recorder(gpu);
  const table = rec.tensor("table", [150, 6]), tokens = rec.tensor("tokens", [8], { dtype: "u32" });
  embedding(rec, table, tokens, { name: "x" });
  const windows = rec.steps.map((step) =>
    step.kind === "dispatch" ? step.bindings.find(({ name }) => name === "table")!.tensor : undefined
  );
  assertEquals(windows.map((window) => window?.shape[0]), [64, 64, 22]);
  assertEquals(windows.map((window) => window?.baseOffset), [0, 64 * 24, 128 * 24]);
  assertEquals(rowWindow(table, 64, 128).baseOffset! % 256, 0);
});

Deno.test("shards of different widths are refused", () => {
  const rec = new Recorder(nullGpu());
  const shards = [rec.tensor("low", [4, 8]), rec.tensor("high", [4, 12])];
  const tokens = rec.tensor("tokens", [8], { dtype: "u32" });
  assertThrows(() => embedding(rec, shards, tokens, { name: "x" }), RangeError, "high has shape [4, 12]");
});
