/** Progress and report: pure text, tested without a terminal or a browser. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import { report, serveReport } from "../../lib/commands/report.ts";
import { histogram, lineChart, smoothed, ticks } from "../../lib/report/charts.ts";
import { compareHtml, differingOptions } from "../../lib/report/compare.ts";
import { fileHeader, scalars } from "../../lib/report/tensorboard.ts";
import { fixtureJson } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";
import { durationText, Progress, shortNumber, stepLine } from "../../lib/report/progress.ts";
import type { TrainEvent } from "../../lib/events.ts";
import { type MetricsRow, reportHtml, writeReport } from "../../lib/report/html.ts";

const step = (number: number, totalSteps = 10): TrainEvent => ({
  type: "step",
  totalSteps,
  metrics: {
    step: number,
    loss: 9.4812,
    "rewards/margins": 0.52,
    "rewards/accuracies": 0.75,
    tokens_per_second: 2310.4,
  },
});

Deno.test("progress: a step's line has step, loss, margin, accuracy, tokens per second and time left", () => {
  const { metrics } = step(3) as TrainEvent & { type: "step" };
  assertEquals(
    stepLine(metrics, 10, 80),
    "step  3/10  loss 9.481  margin 0.520  accuracy 0.750  2,310 tokens/s  left 1m 20s",
  );
  assertEquals(stepLine({ step: 10, loss: 2 }, 10, 0), "step 10/10  loss 2.000");
});

Deno.test("progress: on a terminal one line is updated, cut to its width, and ended by whole lines", () => {
  const progress = new Progress({ terminal: true, columns: 40 });
  const first = progress.show(step(1), 0);
  const second = progress.show(step(2), 0.1);
  for (const text of [first, second]) {
    assert(text.startsWith("\r\x1b[2K") && !text.includes("\n"), JSON.stringify(text));
    assertEquals(text.slice("\r\x1b[2K".length).length, 39);
  }
  assertEquals(progress.show({ type: "notice", text: "hello" }, 1), "\r\x1b[2Khello\n");
  assertEquals(progress.show({ type: "notice", text: "again" }, 1), "again\n");
  progress.show(step(3), 2);
  assertEquals(progress.close(), "\n");
  assertEquals(progress.close(), "");
});

Deno.test("progress: a log gets first and last, in between a line every so often, no control characters", () => {
  const progress = new Progress({ terminal: false, intervalSeconds: 5 });
  const shown: number[] = [];
  let text = "";
  for (let i = 1; i <= 20; i++) {
    const line = progress.show(step(i, 20), 2 * i);
    if (line !== "") shown.push(i);
    text += line;
  }
  assertEquals(shown, [1, 4, 7, 10, 13, 16, 19, 20]);
  // deno-lint-ignore no-control-regex -- these must not occur
  assert(!/[\x00-\x09\x0b-\x1f]/.test(text));
  // Two seconds a step after the first, 13 steps left after the seventh.
  assertStringIncludes(text, "step  7/20");
  assertStringIncludes(text, "left 26s");
  assertEquals(text.split("\n").length, shown.length + 1);
});

Deno.test("progress: a second run's time left is counted from its own first step", () => {
  const progress = new Progress({ terminal: false, intervalSeconds: 0 });
  for (let i = 1; i <= 3; i++) progress.show(step(i, 3), 10 * i);
  progress.show(step(1, 3), 1000);
  assertStringIncludes(progress.show(step(2, 3), 1007), "left 7s");
});

Deno.test("progress: phases begin and end visibly; the rest of the events are whole lines", () => {
  const progress = new Progress({ terminal: false, intervalSeconds: 5 });
  const phase = (done: number): TrainEvent => ({
    type: "phase",
    name: "reference",
    done,
    total: 3,
    unit: "rows",
  });
  assertEquals(progress.show(phase(0), 0), "scoring with the reference: 0 of 3 rows\n");
  assertEquals(progress.show(phase(1), 1), "");
  assertEquals(progress.show(phase(3), 2), "scoring with the reference: 3 of 3 rows\n");
  assertEquals(
    progress.show({ type: "eval", metrics: { step: 0, eval_loss: 0.5, "eval_rewards/margins": -1 } }, 3),
    "evaluation before training: loss 0.500  margin -1.000\n",
  );
  const samples: TrainEvent = {
    type: "samples",
    title: "Samples",
    rows: [{ prompt: "Say hi\nnow", before: "ho\x1b[2J", after: "hi" }],
  };
  assertEquals(
    progress.show(samples, 4),
    "Samples\n  Say hi ⏎ now\n    before: ho[2J\n    after:  hi\n",
  );
});

Deno.test("progress: numbers and durations are short", () => {
  assertEquals([0, 59.6, 61, 3599, 7800].map(durationText), ["0s", "1m 00s", "1m 01s", "59m 59s", "2h 10m"]);
  assertEquals([0, 5e-7, 0.6931, -12.345, 123.45, 4096.4].map(shortNumber), [
    "0.000",
    "5.00e-7",
    "0.693",
    "-12.35",
    "123.5",
    "4096",
  ]);
});

Deno.test("chart: ticks are round and cover the range", () => {
  assertEquals(ticks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assertEquals(ticks(1, 60), [0, 20, 40, 60]);
  assertEquals(ticks(-0.03, 0.011), [-0.03, -0.02, -0.01, 0, 0.01, 0.02]);
});

Deno.test("chart: every value lies inside the picture, and long runs are thinned", () => {
  const points = Array.from({ length: 5000 }, (_, i) => [i + 1, Math.sin(i / 300) * 7] as const);
  const chart = lineChart([{ label: "a", points }], "step");
  const drawn = /points="([^"]+)"/.exec(chart)![1].split(" ").map((pair) => pair.split(",").map(Number));
  assert(drawn.length > 300 && drawn.length <= 400, `${drawn.length} points`);
  for (const [x, y] of drawn) assert(x >= 56 && x <= 448 && y >= 12 && y <= 196, `${x},${y}`);
  const constant = lineChart([{ label: "b", points: [[1, 3], [2, 3]] }], "step");
  assert(!constant.includes("NaN") && !constant.includes("Infinity"));
});

Deno.test("chart: a histogram's bars add up to all values", () => {
  const values = Array.from({ length: 100 }, (_, i) => i / 50 - 1.3);
  const chart = histogram(values, "K");
  const heights = [...chart.matchAll(/<rect [^>]*height="([\d.]+)"/g)].map((match) => Number(match[1]));
  // 184 pixels of height; the y axis ends at its last tick, which is the last one printed for it.
  const top = Math.max(
    ...[...chart.matchAll(/text-anchor="end">([\d.]+)</g)].map((match) => Number(match[1])),
  );
  const total = heights.reduce((sum, height) => sum + height, 0) * top / 184;
  // Pixels are rounded to tenths: each of the 10 bars may be off by 0.05 of 184 pixels' worth of `top`.
  assert(Math.abs(total - 100) < 10 * 0.05 * top / 184 + 1e-9, `${total}`);
  assertStringIncludes(chart, 'class="zero"');
});

const METRICS: MetricsRow[] = [
  { step: 0, eval_loss: 0.7 },
  { step: 1, loss: 0.6931, grad_norm: 2, learning_rate: 0, step_seconds: 30, "rewards/margins": 0 },
  { step: 2, loss: 0.5, grad_norm: 1, learning_rate: 1e-4, step_seconds: 45, "rewards/margins": 0.25 },
];

Deno.test("report: curves that have values, samples, options, everything escaped, nothing from outside", () => {
  const html = reportHtml({
    name: "run-1",
    config: { loss_type: "dpo", model: "<script>alert(1)</script>", lora: ["a"] },
    metrics: METRICS,
    samples: [{ title: "Held out", rows: [{ prompt: "a<b", before: "x & y", after: '"z"' }] }],
    K: [-1, 0.5, 1],
  });
  assertStringIncludes(html, "<title>run-1: dpo</title>");
  assertStringIncludes(html, "<b>Loss</b>");
  assertStringIncludes(html, "held out");
  assertStringIncludes(html, "0.693 → 0.500");
  assertStringIncludes(html, "1m 15s");
  assertStringIncludes(html, "33 % below 0");
  assertStringIncludes(html, "a&lt;b");
  assertStringIncludes(html, "x &amp; y");
  assert(!html.includes("<script"), "model output or options became markup");
  assert(!/\b(?:src|href)=|url\(|@import/.test(html), "the page loads something");
  assert(!html.includes("<b>Accuracy</b>"), "a chart without values");
  assert(!html.includes("NaN") && !html.includes("undefined"));
});

Deno.test("report: written into the run directory from its files; a missing or broken file is named", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await assertRejects(() => writeReport(folder), InputError, "metrics.jsonl is not there");
    await Deno.writeTextFile(
      `${folder}/metrics.jsonl`,
      METRICS.map((row) => JSON.stringify(row) + "\n").join(""),
    );
    await assertRejects(() => writeReport(folder), InputError, "config.json is not there");
    await Deno.writeTextFile(`${folder}/config.json`, '{"loss_type":"mipo"}');
    const path = await writeReport(folder);
    assertEquals(path, `${folder}/report.html`);
    assertMatch(await Deno.readTextFile(path), /<\/html>\n$/);
    await Deno.writeTextFile(`${folder}/reference.jsonl`, '{"K":[0.1,0.2\n');
    await assertRejects(() => writeReport(folder), InputError, "reference.jsonl");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("chart: a smoothed line begins at its first value, follows a level, and is for long lines only", () => {
  assertEquals(smoothed([[1, 5], [2, 6]]), undefined);
  const points = Array.from({ length: 200 }, (_, i): [number, number] => [i + 1, i < 100 ? 3 : 7]);
  const line = smoothed(points)!;
  assertEquals([line.length, line[0]![0], line[199]![0]], [200, 1, 200]);
  assertAlmostEquals(line[0]![1], 3, 1e-12);
  assertAlmostEquals(line[99]![1], 3, 1e-12);
  assert(line[104]![1] > 3.5 && line[104]![1] < 6.5, "the jump is not smoothed");
  assertAlmostEquals(line[199]![1], 7, 1e-3);
});

Deno.test("report: easy and hard pairs apart, raw lines behind smoothed ones, samples over time", () => {
  const metrics = Array.from({ length: 80 }, (_, i): MetricsRow => ({
    step: i + 1,
    loss: 1 / (i + 1),
    "rewards/margins": i / 10,
    ...(i % 2 ? { "easy/rewards/margins": i / 5 } : { "hard/rewards/margins": i / 20 }),
  }));
  const during = [{ step: 20, text: "half way" }];
  const html = reportHtml({
    name: "run",
    config: {},
    metrics,
    samples: [{ title: "Samples", rows: [{ prompt: "p", before: "b", during, after: "a" }] }],
  });
  assertStringIncludes(html, "easy pairs");
  assertStringIncludes(html, "hard pairs");
  // the raw values of loss and of margins
  assertEquals([...html.matchAll(/class="line series-0 faint"/g)].length, 2);
  assertEquals([...html.matchAll(/class="line series-[012]"/g)].length, 4);
  assertStringIncludes(html, "<th>step 20</th>");
  assertStringIncludes(html, "half way");
});

Deno.test("compare: curves over each other, last values, and only the options that differ", () => {
  const run = (name: string, beta: number, loss: number) => ({
    name,
    config: { beta, seed: 42, output_dir: name },
    metrics: [{ step: 1, loss: 1 }, { step: 2, loss }],
  });
  const runs = [run("a<b", 10, 0.5), run("second", 20, 0.25)];
  assertEquals(differingOptions(runs), [["beta", "10", "20"]]);
  const html = compareHtml(runs);
  assertStringIncludes(html, "a&lt;b");
  assertStringIncludes(html, "<td>0.500</td><td>0.250</td>");
  assert(!html.includes("seed") && !html.includes("output_dir"));
  assert(!/\b(?:src|href)=|url\(|@import|<script/.test(html), "the page loads something");
});

Deno.test("tensorboard: an event file is byte for byte what TensorBoard writes", async () => {
  const wanted = Uint8Array.from(atob(await fixtureJson<string>("tensorboard.json")), (c) => c.charCodeAt(0));
  const found = [
    fileHeader(1000.5),
    scalars({ step: 1, loss: Math.LN2, "rewards/margins": -2.5 }, 1001.25),
    scalars({ step: 300, eval_loss: 1e-30 }, 1001.25),
  ].flatMap((bytes) => [...bytes]);
  assertEquals(Uint8Array.from(found), wanted);
});

Deno.test("report: several runs on one page; what is no run is named; a live page is made anew", async () => {
  await inTempDir(async (folder) => {
    for (const name of ["a", "b"]) {
      await Deno.mkdir(`${folder}/${name}`);
      await Deno.writeTextFile(`${folder}/${name}/config.json`, '{"loss_type":"mipo"}');
      await Deno.writeTextFile(`${folder}/${name}/metrics.jsonl`, '{"step":1,"loss":0.5}\n');
    }
    const runs = [`${folder}/a`, `${folder}/b`];
    const output = `${folder}/both.html`;
    assertEquals(await report({ runs, output }), output);
    assertStringIncludes(await Deno.readTextFile(output), "2 runs");
    assertEquals(await report({ runs: runs.slice(0, 1) }), `${folder}/a/report.html`);
    await assertRejects(() => report({ runs: [folder] }), InputError, "no run directory");
    const controller = new AbortController();
    const url = Promise.withResolvers<string>();
    const served = serveReport({ runs, live: true, port: 0 }, {
      signal: controller.signal,
      onListen: url.resolve,
    });
    const page = async () => await (await fetch(await url.promise)).text();
    assertStringIncludes(await page(), "<td>0.500</td><td>0.500</td>");
    await Deno.writeTextFile(`${folder}/b/metrics.jsonl`, '{"step":1,"loss":0.5}\n{"step":2,"loss":0.125}\n');
    assertStringIncludes(await page(), "<td>0.500</td><td>0.125</td>");
    await Deno.remove(`${folder}/b/config.json`);
    assertStringIncludes(await page(), "config.json is not there");
    controller.abort();
    await served;
  });
});

Deno.test("report: an option that is no plain value is shown as it stands, however deep", () => {
  let deep: unknown = 1;
  for (let i = 0; i < 3000; i++) deep = [deep];
  const page = (loss_type: unknown) => reportHtml({ name: "run", config: { loss_type }, metrics: [] });
  assert(page(deep).includes("[[[[1]]]]"));
  assert(page(["mipo", "sft"]).includes("<title>run: mipo, sft</title>"));
});
