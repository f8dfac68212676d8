/** Win rates and length control against scikit-learn and the published numbers; MT-Bench's means. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import {
  ALPACA_FILES,
  type Annotation,
  readAnnotations,
  readLengthData,
  readOutputs,
} from "../../lib/eval/alpaca_files.ts";
import { alpacaScores } from "../../lib/eval/alpaca_scores.ts";
import { lengthControlled } from "../../lib/eval/length_control.ts";
import { fitLogistic, predictLogistic } from "../../lib/eval/logistic.ts";
import { readJudgments, readQuestions } from "../../lib/eval/mt_bench_files.ts";
import { mtBenchScores } from "../../lib/eval/mt_bench_scores.ts";
import { winRates } from "../../lib/eval/win_rate.ts";
import { inTempDir } from "../temp_dir.ts";
import { goldenCsv, goldenRows, readGolden, sharedData } from "./made_up.ts";

/** The published rates are where liblinear's tolerance let scikit-learn stop; ours is the optimum. Percent. */
const PUBLISHED_TOLERANCE = 0.01;
/** Against scikit-learn with a tolerance of 1e-10. Percent. */
const OPTIMUM_TOLERANCE = 1e-5;

Deno.test("logistic: the gradient of the penalised objective vanishes at the solution", () => {
  const rows = 200, width = 3, C = 3;
  let state = 1;
  const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const x = Float64Array.from({ length: rows * width }, () => 4 * uniform() - 2);
  const y = Float64Array.from({ length: rows }, (_, i) => uniform() * (x[i * width]! > 0 ? 1 : 0.2));
  const weight = Float64Array.from({ length: rows }, () => 0.1 + uniform());
  const w = fitLogistic({ x, y, weight, width }, C);
  const p = predictLogistic(x, w);
  for (let j = 0; j < width; j++) {
    let slope = 0;
    for (let i = 0; i < rows; i++) slope += C * weight[i]! * (p[i]! - y[i]!) * x[i * width + j]!;
    if (w[j] !== 0) assertAlmostEquals(slope, -Math.sign(w[j]!), 1e-6);
    else assert(Math.abs(slope) <= 1);
  }
  // so strong a penalty leaves nothing
  assertEquals([...fitLogistic({ x, y, weight, width }, 1e-6)], [0, 0, 0]);
});

Deno.test("win rates: draws, old draws and missing preferences", () => {
  assertEquals(winRates([2, 1, 1.5, 0, 1.25, null]), {
    win_rate: 100 * 0.45,
    standard_error: winRates([2, 1, 1.5, 1.5, 1.25]).standard_error,
    discrete_win_rate: 100 * (1 + 1) / 5,
    n_wins: 1,
    n_wins_base: 2,
    n_draws: 2,
    n_total: 5,
  });
  assertAlmostEquals(winRates([1, 2]).standard_error, 50);
});

Deno.test("alpaca_eval: every score of the made-up set as scikit-learn has it", async () => {
  await inTempDir(async (dir) => {
    const golden = await readGolden();
    const csv = `${dir}/${ALPACA_FILES.gamed}`;
    await Deno.writeTextFile(csv, goldenCsv(golden));
    const lengths = await readLengthData(csv);
    assertEquals(lengths.difficulties, golden.difficulty);
    for (const [name, { expected }] of Object.entries(golden.models)) {
      const { baseline, outputs, annotations } = goldenRows(golden, name);
      // the order in the file does not matter
      const { scores, fit } = alpacaScores(annotations.toReversed(), { baseline, outputs, lengths });
      for (const [key, value] of Object.entries({ ...scores, lc_standard_error: fit.lc_standard_error })) {
        const fitted = key === "length_controlled_winrate" || key === "lc_standard_error";
        assertAlmostEquals(value, expected[key]!, fitted ? OPTIMUM_TOLERANCE : 1e-9, `${name} ${key}`);
      }
    }
  });
});

Deno.test("alpaca_eval: a model against itself, and preferences that are missing", async () => {
  const golden = await readGolden();
  const { baseline, annotations } = goldenRows(golden, "wordy");
  const lengths = { gamed: [], difficulties: golden.difficulty };
  const same = annotations.map((row): Annotation => ({ ...row, generator_2: "base", preference: 1.5 }));
  assertEquals(alpacaScores(same, { baseline, lengths }).scores.length_controlled_winrate, 50);
  const some = annotations.map((row, i): Annotation => i < 30 ? { ...row, preference: null } : row);
  const { scores, annotations: scored } = alpacaScores(some, { baseline, lengths });
  assertEquals([scores.n_total, scored.length], [120, 150]);
});

Deno.test("alpaca_eval: annotations of other outputs or other instructions are named", async () => {
  const golden = await readGolden();
  const { baseline, outputs, annotations } = goldenRows(golden, "wordy");
  const lengths = { gamed: [], difficulties: golden.difficulty };
  const others = outputs.map((row, i) => i === 7 ? { ...row, output: "Another answer" } : row);
  const error = assertThrows(
    () => alpacaScores(annotations, { baseline, outputs: others, lengths }),
    InputError,
    '"Instruction 7"',
  );
  assert(error.message.includes('"Another answer" by wordy'), error.message);
  assertThrows(
    () => alpacaScores(annotations, { baseline: baseline.slice(0, 100), lengths }),
    InputError,
    '"Instruction 100", which is none of the 100 of the benchmark',
  );
  assertThrows(
    () => alpacaScores(annotations.slice(0, 1), { baseline, lengths }),
    InputError,
    "at least two",
  );
});

Deno.test("alpaca_eval: rows that are not right are named by file and place", async () => {
  await inTempDir(async (dir) => {
    const golden = await readGolden();
    const { annotations } = goldenRows(golden, "wordy");
    const path = `${dir}/annotations.json`;
    const refuse = async (rows: unknown[], message: string) => {
      await Deno.writeTextFile(path, JSON.stringify(rows));
      await assertRejects(() => readAnnotations(path), InputError, message);
    };
    const [first, second] = annotations as [Annotation, Annotation];
    await refuse([first, { ...second, preference: 2.5 }], `${path}: element 1: the preference is 2.5`);
    await refuse([first, first], "stands there twice");
    await refuse([first, { ...second, generator_2: "another" }], "generator_2 differs");
    await refuse([first, { instruction: "x" }], `${path}: element 1: output_1 is missing`);
    await refuse([], "holds no rows");
    await Deno.writeTextFile(`${dir}/gamed.csv`, "preference,index\n");
    await assertRejects(() => readLengthData(`${dir}/gamed.csv`), InputError, "std_delta_len is missing");
    await assertRejects(() => readLengthData(`${dir}/none.csv`), InputError, "no such file");
  });
});

Deno.test("mt_bench: means by turn and category; ratings that are missing count for nothing", () => {
  const judgment = (question_id: number, turn: number, score: number, model = "m") => ({
    question_id,
    turn,
    score,
    model,
    judge: ["j", "single-v1"] as const,
    user_prompt: "",
    judgment: "",
    tstamp: 0,
  });
  const questions = [
    { question_id: 1, category: "writing", turns: ["a", "b"] },
    { question_id: 2, category: "math", turns: ["c", "d"] },
  ];
  const judgments = [
    judgment(1, 1, 8),
    judgment(1, 2, 6),
    judgment(2, 1, 3),
    judgment(2, 2, -1),
    judgment(1, 1, -1, "other"),
  ];
  assertEquals(mtBenchScores(judgments, questions), {
    m: {
      turn1: 5.5,
      turn2: 6,
      average: 17 / 3,
      n_turn1: 2,
      n_turn2: 1,
      n_minus_one: 1,
      categories: { writing: 7, math: 3 },
    },
    other: {
      turn1: null,
      turn2: null,
      average: null,
      n_turn1: 0,
      n_turn2: 0,
      n_minus_one: 1,
      categories: {},
    },
  });
});

const alpaca = await sharedData("alpaca_eval");
Deno.test({
  name: "alpaca_eval: the published scores of the published annotations",
  ignore: alpaca === undefined,
  fn: async () => {
    const baseline = await readOutputs(`${alpaca}/${ALPACA_FILES.baseline}`);
    const lengths = await readLengthData(`${alpaca}/${ALPACA_FILES.gamed}`);
    const published: Record<string, Record<string, number>> = JSON.parse(
      await Deno.readTextFile(`${alpaca}/expected_metrics.json`),
    );
    for (const [name, expected] of Object.entries(published)) {
      const annotations = await readAnnotations(`${alpaca}/${name}/annotations.json`);
      const outputs = await readOutputs(`${alpaca}/${name}/model_outputs.json`);
      const { scores } = alpacaScores(annotations, { baseline, outputs, lengths });
      assertEquals(Object.keys(scores).sort(), Object.keys(expected).sort());
      for (const [key, value] of Object.entries(scores)) {
        const tolerance = key === "length_controlled_winrate" ? PUBLISHED_TOLERANCE : 1e-9;
        assertAlmostEquals(value, expected[key]!, tolerance, `${name} ${key}`);
      }
    }
    // what the fit predicts for every single instruction, as published for one of the models
    const publishedRows: { instruction: string; glm_preference: number }[] = JSON.parse(
      await Deno.readTextFile(`${alpaca}/vicuna-7b-v1.5/annotations_with_glm.json`),
    );
    const vicuna = await readAnnotations(`${alpaca}/vicuna-7b-v1.5/annotations.json`);
    const predicted = new Map(
      alpacaScores(vicuna, { baseline, lengths }).annotations.map((
        row,
      ) => [row.instruction, row.glm_preference]),
    );
    for (const { instruction, glm_preference } of publishedRows) {
      assertAlmostEquals(predicted.get(instruction)!, glm_preference, 1e-3, instruction);
    }
    // the leaderboard's rows of the two outputs that game the length
    const gamed = {
      gpt4_1106_preview_verbose: 51.57500797967598,
      gpt4_1106_preview_concise: 41.896601591245386,
    };
    const wins = {
      gpt4_1106_preview_verbose: 64.30360147101865,
      gpt4_1106_preview_concise: 22.92019444047205,
    };
    const half = lengths.gamed.length / 2;
    for (const [i, name] of (["gpt4_1106_preview_verbose", "gpt4_1106_preview_concise"] as const).entries()) {
      const rows = lengths.gamed.slice(i * half, (i + 1) * half);
      const rate = lengthControlled(rows, lengths).length_controlled_winrate;
      assertAlmostEquals(rate, gamed[name], PUBLISHED_TOLERANCE, name);
      assertAlmostEquals(winRates(rows.map((row) => row.preference + 1)).win_rate, wins[name], 1e-9, name);
    }
  },
});

const mtBench = await sharedData("mt_bench");
Deno.test({
  name: "mt_bench: the scores of published judgments",
  ignore: mtBench === undefined,
  fn: async () => {
    const judgments = await readJudgments(`${mtBench}/model_judgment/gpt-4_single.jsonl`);
    const questions = await readQuestions(`${mtBench}/question.jsonl`);
    const scores = mtBenchScores(judgments, questions);
    const expected = JSON.parse(await Deno.readTextFile(`${mtBench}/expected_scores.json`));
    assertEquals(
      Object.fromEntries(
        Object.entries(scores).map(([name, { categories, ...rest }]) => {
          assertEquals(Object.keys(categories).length, 8);
          return [name, rest];
        }),
      ),
      expected,
    );
  },
});
