/**
 * Timestamps that cannot be trusted: tuning ends within its seconds and reports true milliseconds, whatever they are.
 */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { DeviceClock } from "../../lib/gpu/clock.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { Stopwatch, tickNanoseconds } from "../../lib/gpu/stopwatch.ts";
import { linear } from "../../lib/ops/matmul.ts";
import type { Problem } from "../../lib/tuning/problem.ts";
import { tuneProblem } from "../../lib/tuning/tuner.ts";
import { testGpu } from "../harness.ts";

/** A counter by name: what it makes of true nanoseconds. */
const clocks: Record<string, () => (stamps: BigUint64Array) => BigUint64Array> = {
  "true nanoseconds": () => (stamps) => stamps,
  zeros: () => (stamps) => stamps.map(() => 0n),
  "a constant": () => (stamps) => stamps.map(() => 123_456_789n),
  "ticks of 52 ns": () => (stamps) => stamps.map((stamp) => stamp / 52n),
  "ticks of 10 ns": () => (stamps) => stamps.map((stamp) => stamp / 10n),
  "a jump backwards, now and then": () => {
    let reads = 0;
    return (stamps) => ++reads % 5 === 0 ? stamps.toReversed() : stamps;
  },
  "a jump forwards, now and then": () => {
    let reads = 0;
    return (stamps) => ++reads % 5 === 0 ? stamps.map((stamp, i) => stamp + BigInt(i) * 10n ** 13n) : stamps;
  },
  "a millionth of what passes, once it matters": () => {
    let reads = 0;
    return (stamps) => ++reads > 3 ? stamps.map((stamp) => 5n + (stamp - stamps[0]!) / 1_000_000n) : stamps;
  },
  "zeros, once it matters": () => {
    let reads = 0;
    return (stamps) => ++reads > 3 ? stamps.map(() => 0n) : stamps;
  },
};

function withClock(gpu: Gpu, name: string): Gpu {
  return { ...gpu, clock: new DeviceClock(clocks[name]!()) };
}

/** Products of 128 x 128 matrices, many or few of them. */
const products: Problem = {
  key: "fake",
  flops: 1,
  tensors: { x: { shape: [128, 128] }, y: { shape: [128, 128], output: true } },
  variants: ["many", "few"],
  fallback: "many",
  tolerance: 1e-6,
  record: (rec, variant, { x, y }) => {
    // All of them write y: none is left out.
    for (let i = 0; i < (variant === "many" ? 6 : 1); i++) {
      linear(rec, x!, x!, { name: "y", out: y!, variant: "simple" });
    }
  },
};

const MAX_SECONDS = 8;
/** What has begun when the time is up still ends: a round of batches of at most half a second. */
const SLACK = 4;
let honest: number | undefined;

for (const name of Object.keys(clocks)) {
  Deno.test(`tuning by ${name} ends in time, with the right choice and true milliseconds`, async () => {
    const gpu = withClock(await testGpu(), name);
    const start = performance.now();
    const outcome = await tuneProblem(gpu, products, { rounds: 3, deadline: start + 1000 * MAX_SECONDS });
    const seconds = (performance.now() - start) / 1000;
    assert(seconds < MAX_SECONDS + SLACK, `${seconds} s`);
    assert(outcome);
    // A counter that goes on, but slowly, is believed: only the time that it costs is bounded.
    if (name.startsWith("a millionth")) return;
    assertEquals(outcome.choice, "few");
    const few = outcome.timings.find(({ variant }) => variant === "few")!.bestMs;
    honest ??= few;
    // Ticks taken for nanoseconds would make it 10 or 52 times less, stamps of zeros thousands of times. Upwards a busy
    // machine may stretch what the clock sees a good deal.
    assert(few > honest / 6 && few < 30 * honest, `${few} ms, by true nanoseconds ${honest}`);
  });
}

Deno.test("the length of a tick is measured once; a counter that stands still is not used", async () => {
  const gpu = await testGpu();
  const wanted: Record<string, number | null> = {
    "true nanoseconds": 1,
    "ticks of 10 ns": 10,
    zeros: null,
    "a constant": null,
  };
  for (const [name, period] of Object.entries(wanted)) {
    assertEquals(await tickNanoseconds(withClock(gpu, name)), period, name);
  }
  // Intel's ticks, 1 / 19.2 MHz.
  assertAlmostEquals((await tickNanoseconds(withClock(gpu, "ticks of 52 ns")))!, 1e9 / 19.2e6, 1e-9);
  const without = { ...gpu, features: new Set<string>(), clock: new DeviceClock() };
  assertEquals(await tickNanoseconds(without), null);
  const watch = await Stopwatch.create(without);
  await watch.start();
  const { ms } = await watch.stop();
  assert(ms >= 0 && ms < 5000);
  watch.destroy();
});

Deno.test("stamps that cannot be true are not believed, and a counter that gives them often is given up", () => {
  const clock = new DeviceClock();
  assertEquals(clock.between(0n, 5_000_000n, 10), undefined); // not calibrated yet
  for (const ms of [50, 50.5]) clock.calibrate({ ticks: 50_000_000n, ms });
  assertEquals(clock.period, 1);
  assertEquals(clock.between(0n, 5_000_000n, 10), 5);
  assertEquals(clock.between(7n, 7n, 10), undefined);
  assertEquals(clock.between(9n, 7n, 10), undefined);
  assertEquals(clock.between(0n, 5_000_000n, 10), 5);
  assertEquals(clock.between(0n, 500_000_000n, 10), undefined); // half a second within 10 ms
  assertEquals(clock.period, null);
  const wild = new DeviceClock();
  [10, 20, 40, 80, 160, 320].forEach((ms) => wild.calibrate({ ticks: 1_000_000n, ms }));
  assertEquals(wild.period, null);
});
