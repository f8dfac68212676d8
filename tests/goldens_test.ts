/**
 * The whole against PyTorch: logits, log-probabilities, gradients and trajectories of four model families on the
 * adapter. The tolerances leave room for float32 (`f32_noise` in each `expected.json` says how much PyTorch's own
 * float32 needs: up to 1.7e-5, 4e-7 and 8e-6) and are those that a user of the numbers can rely on.
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import type { Example } from "../lib/data/types.ts";
import { createObjective } from "../lib/losses/mod.ts";
import { knownReferences } from "../lib/train/reference.ts";
import { learningRate } from "../lib/train/schedule.ts";
import { score } from "../lib/commands/score.ts";
import { train } from "../lib/commands/train.ts";
import { loadExamples } from "../lib/data/examples.ts";
import { loadTokenizer } from "../lib/data/tokenizer.ts";
import { openSafetensors } from "../lib/formats/safetensors.ts";
import { destroyParams, gpuGradients, gpuLogits, gpuModel } from "./gpu_model.ts";
import { difference, testGpu } from "./harness.ts";
import {
  type Expected,
  fixtureJson,
  fixtureNames,
  fixturePath,
  type Trajectory,
} from "./reference/fixture.ts";

/** Reads all tensors of a file. */
async function tensorsOf(path: string): Promise<Map<string, Float32Array>> {
  const file = await openSafetensors(fixturePath(path));
  try {
    const all = new Map<string, Float32Array>();
    for (const name of file.tensors.keys()) all.set(name, await file.read(name));
    return all;
  } finally {
    file.close();
  }
}

async function examplesOf(name: string, file: string): Promise<readonly Example[]> {
  const tokenizer = await loadTokenizer(fixturePath(`${name}/policy`));
  return (await loadExamples(fixturePath(`${name}/${file}`), { tokenizer })).examples;
}

for (const name of fixtureNames) {
  Deno.test(`${name}: logits within 5e-5 of PyTorch's`, async () => {
    const gpu = await testGpu();
    const params = await gpuModel(gpu, fixturePath(`${name}/policy`), false);
    const { pairs } = await fixtureJson<Expected>(`${name}/expected.json`);
    for (const [key, expected] of await tensorsOf(`${name}/logits.safetensors`)) {
      const [, row, side] = key.split(".") as [string, string, "chosen" | "rejected"];
      const pair = pairs[Number(row)]!;
      const logits = await gpuLogits(gpu, params, [...pair.prompt, ...pair[side]]);
      assertLess(difference(logits, expected).max, 5e-5, key);
    }
    destroyParams(params);
  });

  Deno.test(`${name}: gradients within 5e-5 of PyTorch's, in norm, for every parameter`, async () => {
    const gpu = await testGpu();
    const params = await gpuModel(gpu, fixturePath(`${name}/policy`));
    const expected = await fixtureJson<Expected>(`${name}/expected.json`);
    const examples = await examplesOf(name, "pairs.jsonl");
    const references = knownReferences(
      expected.pairs.map((pair) => [pair.ref_chosen_logp, pair.ref_rejected_logp]),
    );
    for (const which of ["mipo", "dpo", "dpo label_smoothing", "sft"]) {
      const loss_type = which.split(" ")[0]!;
      const set = loss_type !== "sft"
        ? { examples, references }
        : { examples: await examplesOf(name, "sft.jsonl"), references: null };
      const objective = createObjective({ loss_type, ...expected.losses[which]?.parameters });
      const { gradients } = await gpuGradients(gpu, params, { set, objective });
      const golden = await tensorsOf(`${name}/gradients.${which.replace(" ", "_")}.safetensors`);
      assertEquals([...gradients.keys()].sort(), [...golden.keys()].sort());
      for (const [tensor, values] of golden) {
        assertLess(difference(gradients.get(tensor)!, values).relative, 5e-5, `${which} ${tensor}`);
      }
    }
    destroyParams(params);
  });

  for (const which of ["mipo", "dpo", "sft"]) {
    Deno.test(`${name}: ten steps of ${which} follow PyTorch's within 1e-4`, async () => {
      const { options, steps, beta } = await fixtureJson<Trajectory>(`${name}/trajectory.${which}.json`);
      const runDir = await Deno.makeTempDir();
      try {
        const { metrics, modelDir } = await train({
          ...options,
          ...(beta === undefined ? {} : { beta }),
          model: fixturePath(`${name}/policy`),
          ref_model: fixturePath(`${name}/ref`),
          data: fixturePath(`${name}/${which === "sft" ? "sft" : "pairs"}.jsonl`),
          loss_type: which as "mipo" | "dpo" | "sft",
          shuffle: false,
          max_length: 256,
          output_dir: runDir,
        });
        assertEquals(metrics.length, steps.length);
        steps.forEach((expected, i) => {
          const larger = Math.max(
            Math.abs(expected["rewards/chosen"]!),
            Math.abs(expected["rewards/rejected"]!),
          );
          for (const [key, value] of Object.entries(expected)) {
            // a difference of rewards is as exact as the larger of the two, DPO's rewards as their sums times β
            const scale = !key.startsWith("rewards/")
              ? Math.abs(value)
              : key === "rewards/margins"
              ? larger
              : Math.max(
                Math.abs(value),
                which === "dpo" ? beta! * Math.abs(expected["logps/chosen"]!) * 1e-2 : 0,
              );
            const error = Math.abs(metrics[i]![key]! - value);
            assert(error <= 1e-4 * scale, `step ${i + 1} ${key}: ${metrics[i]![key]}, expected ${value}`);
          }
        });
        const file = await openSafetensors(`${modelDir}/model.safetensors`);
        for (const [tensor, values] of await tensorsOf(`${name}/final.${which}.safetensors`)) {
          assertLess(difference(await file.read(tensor), values).relative, 1e-4, tensor);
        }
        file.close();
      } finally {
        await Deno.remove(runDir, { recursive: true });
      }
    });
  }
}

Deno.test("schedules: the learning rates of the goldens, exactly", async () => {
  const { options, steps } = await fixtureJson<Trajectory>("llama/trajectory.mipo.json");
  steps.forEach((step, i) => {
    const rate = learningRate(i, steps.length, { ...options, lr_scheduler_type: "cosine" });
    assert(Math.abs(rate - step.learning_rate!) < 1e-18, `step ${i + 1}: ${rate}`);
  });
});

Deno.test("bf16 inputs: log-probability sums within 1 % of float32's golden values", async () => {
  for (const name of fixtureNames) {
    const { pairs } = await fixtureJson<Expected>(`${name}/expected.json`);
    const { rows } = await score({
      model: fixturePath(`${name}/policy`),
      data: fixturePath(`${name}/pairs.jsonl`),
      compute_dtype: "bf16",
    });
    for (const row of rows) {
      for (const side of ["chosen", "rejected"] as const) {
        const expected = pairs[row.index]![`${side}_logp`];
        const error = Math.abs(row[side]!.logp - expected) / Math.abs(expected);
        // 8 bits of each input: 0.2 % at most here
        assert(error < 0.01, `${name} row ${row.index} ${side}: ${row[side]!.logp}, expected ${expected}`);
      }
    }
  }
});
