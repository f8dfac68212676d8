/** Sweeps: the combinations of lists, resuming after a kill, the comparison that is left. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { sweep, type SweepOptions, sweepOptions } from "../../lib/commands/sweep.ts";
import { InputError } from "../../lib/errors.ts";
import { type Grid, type GridRules, sweepRuns } from "../../lib/train/sweep_grid.ts";
import { fixturePath } from "../reference/fixture.ts";
import { startTask } from "../start_task.ts";
import { inTempDir } from "../temp_dir.ts";

const RULES: GridRules = {
  alternatives: (key, list) => key === "modules" ? undefined : list,
  applies: (key, { loss_type }: Grid) => key !== "gamma" || loss_type === "simpo",
};

Deno.test("sweep: every combination once, named by what differs", () => {
  const runs = sweepRuns(
    { loss_type: ["mipo", "simpo"], gamma: [0.5, 1], seed: [1, 2], modules: ["q", "v"] },
    [],
    RULES,
  );
  // mipo has no gamma: its combinations are two, not four
  assertEquals(runs.map(({ name }) => name), [
    "loss_type-mipo_seed-1",
    "loss_type-mipo_seed-2",
    "loss_type-simpo_gamma-0.5_seed-1",
    "loss_type-simpo_gamma-0.5_seed-2",
    "loss_type-simpo_gamma-1_seed-1",
    "loss_type-simpo_gamma-1_seed-2",
  ]);
  assertEquals(runs[0]!.given, { loss_type: "mipo", seed: 1, modules: ["q", "v"] } as object);
  assertEquals(runs[2]!.varied, { loss_type: "simpo", gamma: 0.5, seed: 1 });

  const variants = [{ loss_type: "mipo", beta: [5, 10] }, { loss_type: "dpo", beta: 0.1 }];
  assertEquals(
    sweepRuns({ beta: 1, learning_rate: 1e-4 }, variants, RULES).map((
      { name, given },
    ) => [name, given.learning_rate]),
    [["loss_type-mipo_beta-5", 1e-4], ["loss_type-mipo_beta-10", 1e-4], ["loss_type-dpo_beta-0.1", 1e-4]],
  );
  assertEquals(sweepRuns({ model: "a/b c" }, [], RULES).map(({ name }) => name), ["run"]);
  assertEquals(sweepRuns({ model: ["a/b c", "../d"] }, [], RULES).map(({ name }) => name), [
    "model-a_b_c",
    "model-.._d",
  ]);
});

Deno.test("sweep: flags are lists, and what is wrong is named before any run", async () => {
  const given = sweepOptions.given({
    flags: { output_dir: "s", beta: "5,10", loss_type: "mipo,dpo", max_parallel: "1", seed: "3" },
  });
  assertEquals(given as object, {
    output_dir: "s",
    beta: [5, 10],
    loss_type: ["mipo", "dpo"],
    max_parallel: 1,
    seed: [3],
  });
  await inTempDir(async (dir) => {
    const refused = (options: Partial<SweepOptions>, message: string) =>
      assertRejects(() => sweep({ output_dir: `${dir}/s`, ...options }), InputError, message);
    await refused({ learning_rate: [1e-4, -1] }, "learning_rate is [0.0001,-1]");
    await refused({ variants: [{ loss_type: "dpo", gamma: 1 }] }, "gamma");
    await refused({ variants: [{ betta: 1 }] }, "the nearest known one is beta");
    await refused({ model: ["m"] }, "model is given without data");
    await assertRejects(() => Deno.stat(`${dir}/s`), Deno.errors.NotFound);
  });
});

const OPTIONS = {
  model: fixturePath("llama/policy"),
  data: fixturePath("llama/pairs.jsonl"),
  eval_data: fixturePath("llama/pairs.jsonl"),
  loss_type: ["mipo", "dpo"],
  seed: [1, 2],
  max_steps: 3,
  batch_size: 4,
  max_length: 256,
  tune: false,
} satisfies Partial<SweepOptions>;

/** Rows of metrics without times. */
async function metricsOf(dir: string): Promise<unknown[]> {
  const text = await Deno.readTextFile(`${dir}/metrics.jsonl`);
  return text.trimEnd().split("\n").map((line) => {
    const { tokens_per_second: _, step_seconds: __, ...rest } = JSON.parse(line);
    return rest;
  });
}

Deno.test("sweep: killed in its second run and called again, it ends as one that was left alone", async () => {
  await inTempDir(async (dir) => {
    const config = `${dir}/sweep.json`;
    await Deno.writeTextFile(config, JSON.stringify(OPTIONS));
    const child = startTask("sweep", [config, "--output-dir", `${dir}/cut`]);
    // killed as soon as the second run has begun
    let said = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) {
      said += decoder.decode(chunk, { stream: true });
      if (said.includes("run 2 of 4")) break;
    }
    child.kill("SIGKILL");
    assertEquals((await child.status).code, 137, said);
    const first = await Deno.stat(`${dir}/cut/loss_type-mipo_seed-1/model/model.safetensors`);

    const cut = await sweep({ ...OPTIONS, output_dir: `${dir}/cut` });
    const whole = await sweep({ ...OPTIONS, output_dir: `${dir}/whole` });
    assertEquals(
      (await Deno.stat(`${dir}/cut/loss_type-mipo_seed-1/model/model.safetensors`)).mtime,
      first.mtime,
      "a finished run is not made again",
    );
    for (const { name, status } of whole.rows) {
      assertEquals(status, "done");
      assertEquals(await metricsOf(`${dir}/cut/${name}`), await metricsOf(`${dir}/whole/${name}`));
    }
    assertEquals(cut.rows.map(({ status }) => status), ["done", "done", "done", "done"]);
    const csv = (await Deno.readTextFile(cut.csv)).trimEnd().split("\n");
    assertEquals(csv.length, 5);
    assertEquals(
      csv[0],
      "run,status,loss_type,seed,step,loss,rewards/margins,rewards/accuracies,eval_loss," +
        "eval_rewards/margins,eval_rewards/accuracies",
    );
    assert(csv[4]!.startsWith("loss_type-dpo_seed-2,done,dpo,2,3,"), csv[4]);
    const page = await Deno.readTextFile(cut.page);
    for (const text of ["Sweep: 4 runs", "loss_type-dpo_seed-2", "mipo (2)", "Held-out accuracy"]) {
      assertStringIncludes(page, text);
    }

    // more values: what is there stays, whatever it is called now; other options get directories of their own
    const more = await sweep({ ...OPTIONS, loss_type: "dpo", seed: [1, 2, 3], output_dir: `${dir}/cut` });
    assertEquals(more.rows.map(({ status }) => status), ["done", "done", "done"]);
    const beta = await sweep({
      ...OPTIONS,
      loss_type: "dpo",
      seed: [2, 3],
      beta: 0.3,
      output_dir: `${dir}/cut`,
    });
    assertEquals(beta.rows.map(({ config }) => [config.seed, config.beta]), [[2, 0.3], [3, 0.3]]);
    const names = [...Deno.readDirSync(`${dir}/cut`)].filter(({ isDirectory }) => isDirectory).map((
      { name },
    ) => name);
    assertEquals(names.sort(), [
      "loss_type-dpo_seed-1",
      "loss_type-dpo_seed-2",
      "loss_type-mipo_seed-1",
      "loss_type-mipo_seed-2",
      "seed-2",
      "seed-3",
      "seed-3_2",
    ]);
  });
});
