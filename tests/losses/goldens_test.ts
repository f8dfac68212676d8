/**
 * Every loss against PyTorch and TRL (`tests/golden/losses.py` made the numbers): a step's gradient on the adapter,
 * weighted lists, LD-DPO, rewards, and KTO's trajectories.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import goldens from "../golden/losses.json" with { type: "json" };
import { assertDigest, type Digest } from "../golden/digest.ts";
import { type ExampleSet, loadExamples } from "../../lib/data/examples.ts";
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import { InputError } from "../../lib/errors.ts";
import { openSafetensors } from "../../lib/formats/safetensors.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { createObjective, type Objective, type ObjectiveOptions } from "../../lib/losses/mod.ts";
import { train } from "../../lib/commands/train.ts";
import { exampleMetrics } from "../../lib/train/metrics.ts";
import { mismatchedExample, mismatchedPartners } from "../../lib/train/mismatched.ts";
import {
  type ExampleScore,
  knownReferences,
  type References,
  scoreExamples,
} from "../../lib/train/reference.ts";
import { Scorer } from "../../lib/train/scorer.ts";
import { scoredExamples } from "../../lib/train/step.ts";
import type { Example } from "../../lib/data/types.ts";
import type { ParamStore } from "../../lib/model/params.ts";
import { destroyParams, gpuGradients, gpuModel, packingFor } from "../gpu_model.ts";
import { testGpu } from "../harness.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

const FIXTURE = "llama";
type Options = ObjectiveOptions & Record<string, unknown>;

async function rowsOf(path: string, kind: "pair" | "labelled"): Promise<ExampleSet> {
  const tokenizer = await loadTokenizer(fixturePath(`${FIXTURE}/policy`));
  return await loadExamples(path, { tokenizer, kinds: [kind] });
}

/** Runs `work` with the file of KTO's rows. */
const withKtoRows = (work: (path: string, dir: string) => Promise<void>) =>
  inTempDir(async (dir) => {
    const path = `${dir}/kto.jsonl`;
    await Deno.writeTextFile(path, goldens.kto.rows.map((row) => JSON.stringify(row) + "\n").join(""));
    await work(path, dir);
  });

/** Scores of examples under the fixture's policy or reference, as a loss with this `ldAlpha` takes them. */
async function scores(
  gpu: Gpu,
  params: ParamStore,
  { examples, ldAlpha = 1 }: { examples: readonly Example[]; ldAlpha?: number },
): Promise<ExampleScore[]> {
  const packing = packingFor(examples);
  const positions = params.config.max_position_embeddings;
  const setup = { params, positions, capacity: packing.shape, compute: "f32" as const, ldAlpha };
  const scorer = await Scorer.create(gpu, setup);
  const found = await scoreExamples(scorer, examples, packing);
  scorer.destroy();
  return found;
}

/** The reference's sums of rows, and of mismatched rows where the loss wants them. */
async function referencesFor(
  gpu: Gpu,
  examples: readonly Example[],
  objective: Objective,
): Promise<References> {
  const params = await gpuModel(gpu, fixturePath(`${FIXTURE}/ref`), false);
  const { ldAlpha } = objective;
  const own = knownReferences((await scores(gpu, params, { examples, ldAlpha })).map(({ sums }) => sums));
  const pairs = objective.baseline ? mismatchedPartners(examples.map((_, i) => i)) : [];
  const mismatched = new Map<string, number>();
  for (const pair of pairs) {
    const [score] = await scores(gpu, params, { examples: [mismatchedExample(examples, pair, Infinity)] });
    mismatched.set(pair.join(), score!.sums[0]!);
  }
  destroyParams(params);
  return { sums: (row) => own.sums(row), mismatched: (pair) => mismatched.get(pair.join())! };
}

Deno.test("losses: a step's gradient of every loss within 5e-5 of PyTorch's", () =>
  withKtoRows(async (ktoPath) => {
    const gpu = await testGpu();
    const params = await gpuModel(gpu, fixturePath(`${FIXTURE}/policy`));
    const pairs = (await rowsOf(fixturePath(`${FIXTURE}/pairs.jsonl`), "pair")).examples;
    const labelled = (await rowsOf(ktoPath, "labelled")).examples;
    assertEquals(Object.keys(goldens.gradients).length, 22);
    for (const [name, { options, tensors }] of Object.entries(goldens.gradients)) {
      const objective = createObjective(options as Options);
      const examples = objective.rows === "labelled" ? labelled : pairs;
      const references = objective.needsReference ? await referencesFor(gpu, examples, objective) : null;
      const { gradients } = await gpuGradients(gpu, params, { set: { examples, references }, objective });
      assertEquals([...gradients.keys()].sort(), Object.keys(tensors).sort());
      for (const [tensor, wanted] of Object.entries(tensors)) {
        const what = `${name} ${tensor}`;
        assertDigest(gradients.get(tensor)!, wanted as unknown as Digest, { tolerance: 5e-5, what });
      }
    }
    destroyParams(params);
  }));

/** The metrics of the fixture's pairs under some options. */
async function pairMetrics(gpu: Gpu, options: Options): Promise<Record<string, number>> {
  const { examples } = await rowsOf(fixturePath(`${FIXTURE}/pairs.jsonl`), "pair");
  const objective = createObjective(options);
  const references = await referencesFor(gpu, examples, objective);
  const params = await gpuModel(gpu, fixturePath(`${FIXTURE}/policy`), false);
  const found = await scores(gpu, params, { examples, ldAlpha: objective.ldAlpha });
  destroyParams(params);
  return exampleMetrics(scoredExamples({ examples, references }, found), objective);
}

Deno.test("losses: weighted lists, LD-DPO and losses without a reference are TRL's, with its metrics", async () => {
  const gpu = await testGpu();
  const { list, ld, cpo, orpo } = goldens.trl;
  const near = (found: number | undefined, wanted: number, what: string) =>
    // sums of hundreds of nats in float32, here and there
    assert(
      Math.abs(found! - wanted) <= 2e-5 * Math.max(Math.abs(wanted), 1),
      `${what}: ${found}, TRL ${wanted}`,
    );
  for (const { options, loss } of [list, ...ld]) {
    near((await pairMetrics(gpu, options as Options)).loss, loss, JSON.stringify(options));
  }
  for (const { options, ...wanted } of cpo) {
    const found = await pairMetrics(gpu, {
      ...options,
      cpo_alpha: options.loss_type === "cpo" ? 0 : undefined,
    });
    for (const [key, value] of Object.entries(wanted)) near(found[key], value, `${options.loss_type} ${key}`);
  }
  const { options, odds_loss, ...wanted } = orpo;
  const found = await pairMetrics(gpu, options as Options);
  for (const [key, value] of Object.entries(wanted)) near(found[key], value, `orpo ${key}`);
  near(found.loss! - found.nll_loss!, odds_loss, "orpo odds_loss");
});

for (const { batch_size, steps, weights } of goldens.kto.runs) {
  for (const token_budget of ["auto", 256] as const) {
    Deno.test(`kto: ten steps of ${batch_size} rows follow TRL's within 1e-4 (token_budget ${token_budget})`, () =>
      withKtoRows(async (data, dir) => {
        const { metrics, modelDir } = await train({
          ...goldens.kto.options,
          loss_type: "kto",
          model: fixturePath(`${FIXTURE}/policy`),
          ref_model: fixturePath(`${FIXTURE}/ref`),
          data,
          batch_size,
          token_budget,
          max_steps: 10,
          shuffle: false,
          max_length: 256,
          output_dir: `${dir}/run`,
        });
        assertEquals(metrics.length, steps.length);
        steps.forEach((wanted, i) => {
          assertEquals("rewards/margins" in metrics[i]!, "rewards/margins" in wanted);
          for (const [key, value] of Object.entries(wanted)) {
            // rewards and kl are differences of sums of up to 400 nats, each as exact as float32 has them, here and there
            const size = key.startsWith("rewards/") ? 4 : key === "kl" ? 20 : Math.abs(value!);
            const found = metrics[i]![key]!;
            assert(Math.abs(found - value!) <= 1e-4 * size, `step ${i + 1} ${key}: ${found}, TRL ${value}`);
          }
        });
        const file = await openSafetensors(`${modelDir}/model.safetensors`);
        for (const [tensor, wanted] of Object.entries(weights)) {
          const options = { tolerance: 1e-4, what: tensor };
          assertDigest(await file.read(tensor), wanted as unknown as Digest, options);
        }
        file.close();
      }));
  }
}

Deno.test("kto: a step of one row, and rows without a label, are refused by name before anything is written", () =>
  withKtoRows(async (data, dir) => {
    const base = {
      loss_type: "kto" as const,
      model: fixturePath(`${FIXTURE}/policy`),
      data,
      shuffle: false,
      output_dir: `${dir}/run`,
    };
    await assertRejects(() => train({ ...base, batch_size: 1 }), InputError, "step 1 has one row, 0 ");
    const odd = { ...base, batch_size: 11 };
    await assertRejects(() => train(odd), InputError, "step 2 has one row, 11");
    await assertRejects(() => train({ ...odd, token_budget: 16, batch_size: 4 }), InputError, "token_budget");
    const unlabelled = { ...base, data: fixturePath(`${FIXTURE}/sft.jsonl`) };
    await assertRejects(() => train(unlabelled), InputError, "label");
    assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name), ["kto.jsonl"]);
  }));

Deno.test("kto: evaluation has TRL's metrics, its KL from the whole set", () =>
  withKtoRows(async (data, dir) => {
    const { metrics } = await train({
      loss_type: "kto",
      model: fixturePath(`${FIXTURE}/policy`),
      ref_model: fixturePath(`${FIXTURE}/ref`),
      data,
      eval_data: data,
      batch_size: 12,
      max_steps: 1,
      shuffle: false,
      max_length: 256,
      output_dir: `${dir}/run`,
    });
    const [before, first] = metrics;
    // before the first step, over the same rows, it is what the first step logs
    for (const key of ["loss", "kl", "rewards/chosen", "rewards/rejected", "logps/chosen"]) {
      const [a, b] = [before![`eval_${key}`]!, first![key]!];
      assert(Math.abs(a - b) <= 2e-5 * Math.max(1, Math.abs(b)), `${key}: ${a}, ${b}`);
    }
  }));
