/** The experiment on the paper's claim: its statistics, its picture and its tables, on numbers that are known. */
import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import type { ClaimPair } from "../../examples/claim/data.ts";
import { beyond } from "../../examples/claim/edges.ts";
import { accuracy, gradeAnswers } from "../../examples/claim/measure.ts";
import { marginPicture } from "../../examples/claim/picture.ts";
import { difference, interval } from "../../examples/claim/statistics.ts";
import { tablesOf } from "../../examples/claim/tables.ts";
import { pairRows } from "../../examples/world/world.ts";

Deno.test("claim: intervals hold what varies between prompts and what varies between seeds", () => {
  const prompts = Array.from({ length: 400 }, (_, i) => i % 2);
  const alike = interval([prompts, prompts, prompts]);
  assertEquals(alike.mean, 0.5);
  // seeds that agree leave the prompts' spread alone: 1.96 · 0.5 / √400
  assertAlmostEquals(alike.high - alike.low, 2 * 1.96 * 0.025, 0.012);
  const apart = interval([prompts.map(() => 0.2), prompts.map(() => 0.8)]);
  assertEquals([apart.low, apart.high].map((v) => Math.round(10 * v)), [2, 8]);
  // the same prompts are drawn for both: what they share drops out
  const paired = difference([prompts.map((v) => v + 0.1)], [prompts]);
  assertAlmostEquals(paired.mean, 0.1, 1e-9);
  assertAlmostEquals(paired.high - paired.low, 0, 1e-9);
  assertEquals(interval([[1, NaN, 3]]).mean, 2);
});

Deno.test("claim: one step beyond a grid's edge, as far as its last step", () => {
  const grid = [0.1, 0.3, 1];
  assertEquals([0.1, 0.3, 1].map((value) => beyond(value, grid)), [0.0333, undefined, 3.33]);
  assertEquals(beyond(5e-4, [2e-4, 5e-4]), 1.25e-3);
});

Deno.test("claim: grades, tables and picture of a made-up result", () => {
  const pairs = pairRows("heldout", 2, 24).map((row, i): ClaimPair => ({
    ...row,
    sampled: false,
    K: i % 3 === 0 ? -1 : 2,
  }));
  const right = pairs.map(({ chosen }) => chosen), wrong = pairs.map(({ rejected }) => rejected);
  assertEquals([accuracy(pairs, right), accuracy(pairs, wrong)], [1, 0]);
  const { correct, wins } = gradeAnswers(pairs, right, wrong);
  assert(correct.every((v) => v === 1) && wins.every((v) => v === 1));
  assert(gradeAnswers(pairs, wrong, wrong).wins.every((v) => v === 0.5));

  const measured = (answers: string[]) => ({
    answers,
    lengths: pairs.map(() => 4),
    drift: pairs.map(() => 0.25),
    margins: pairs.map(({ K }) => K + 1),
  });
  const start = measured(wrong);
  const result = (name: string, answers: string[]) => ({
    name,
    learning_rate: 2e-4,
    beta: 1,
    measured: [measured(answers)],
    graded: [gradeAnswers(pairs, answers, wrong)],
  });
  const tables = tablesOf([result("MIPO", right), result("DPO", wrong)], { pairs, start });
  assertStringIncludes(tables, "24 test prompts: 16 easy, 8 hard. Seeds: 1.");
  assertStringIncludes(tables, "| (before training) | 0.0 [0.0, 0.0] |");
  assertStringIncludes(tables, "| MIPO | 100.0 [100.0, 100.0] |");
  assertStringIncludes(
    tables,
    "| DPO | 100.0 [100.0, 100.0] | 100.0 [100.0, 100.0] | 100.0 [100.0, 100.0] |",
  );
  assertStringIncludes(tables, "| DPO | 0.25 [0.25, 0.25] |");

  const picture = marginPicture([{ title: "MIPO", K: [-1, 2], margins: [0, 3] }]);
  assertEquals(picture.match(/h0/g)!.length, 2 * 2);
  assertStringIncludes(picture, ">MIPO</text>");
});
