/**
 * The reference pass: it scores what the run will use, keeps it as it goes, believes only what is as it was written;
 * and memory is known before it is taken.
 */
import { assert, assertEquals, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { train } from "../../lib/commands/train.ts";
import { stepRows } from "../../lib/data/plan.ts";
import { InputError } from "../../lib/errors.ts";
import type { TrainEvent } from "../../lib/events.ts";
import type { TrainOptions } from "../../lib/train/options.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

const base: Partial<TrainOptions> = {
  model: fixturePath("llama/policy"),
  ref_model: fixturePath("llama/ref"),
  data: fixturePath("llama/pairs.jsonl"),
  loss_type: "mipo",
  beta: 2,
  batch_size: 3,
  max_steps: 2,
  token_budget: 320,
  learning_rate: 1e-3,
  max_length: 256,
  tune: false,
};

const timeless = (rows: readonly Readonly<Record<string, number>>[]) =>
  rows.map(({ tokens_per_second: _, step_seconds: __, ...rest }) => rest);

interface Line {
  readonly items: number[][];
  readonly sums: number[][];
}

/** The batches that a run's reference file holds. */
async function linesOf(path: string): Promise<Line[]> {
  return (await Deno.readTextFile(path)).trim().split("\n").slice(1).map((line) => JSON.parse(line));
}

/** Trains and counts the rows that the reference pass went through. */
async function trainCounting(options: Partial<TrainOptions>) {
  const progress: number[] = [];
  const run = await train(options, {
    onEvent: (event) => {
      if (event.type === "phase" && event.name === "reference") progress.push(event.total);
    },
  });
  return { run, progress };
}

Deno.test("the reference pass scores the rows that the run will use, and no others", () =>
  inTempDir(async (dir) => {
    const { progress } = await trainCounting({ ...base, output_dir: `${dir}/run` });
    const order = { rows: 12, batchSize: 3, shuffle: true, seed: 42 };
    const wanted = [0, 1].flatMap((step) => stepRows(step, order).indices).sort((a, b) => a - b);
    const lines = await linesOf(`${dir}/run/reference.jsonl`);
    assertEquals(lines.flatMap(({ items }) => items.flat()).sort((a, b) => a - b), wanted);
    assert(lines.length > 1 && progress.every((total) => total === wanted.length));
    // another run that uses every row knows the same of these
    await trainCounting({ ...base, max_steps: 4, output_dir: `${dir}/all` });
    const all = await linesOf(`${dir}/all/reference.jsonl`);
    const sums = new Map(all.flatMap(({ items, sums }) => items.map(([row], i) => [row, sums[i]!])));
    assertEquals(sums.size, 12);
    for (const { items, sums: own } of lines) {
      items.forEach(([row], i) =>
        own[i]!.forEach((sum, side) => assert(Math.abs(sum - sums.get(row)![side]!) <= 4e-6 * Math.abs(sum)))
      );
    }
  }));

Deno.test("a cut reference pass goes on where it was, to the same bits", () =>
  inTempDir(async (dir) => {
    const whole = await train({ ...base, output_dir: `${dir}/whole` });
    const controller = new AbortController();
    const cut = () =>
      train({ ...base, output_dir: `${dir}/cut` }, {
        signal: controller.signal,
        onEvent: (event) => event.type === "phase" && event.name === "reference" && controller.abort(),
      });
    await assertRejects(cut, Error, "The reference pass");
    const path = `${dir}/cut/reference.jsonl`;
    const kept = await Deno.readTextFile(path);
    assertEquals((await linesOf(path)).length, 1);
    // as if it had been killed while it wrote its second batch
    await Deno.writeTextFile(path, '{"items":[[3],[7]],"sums":[[-1', { append: true });
    const rest = await train({ ...base, output_dir: `${dir}/cut`, resume: true });
    assertEquals(timeless(rest.metrics), timeless(whole.metrics));
    assert((await Deno.readTextFile(path)).startsWith(kept), "what was known was computed again");
    assertEquals(await Deno.readTextFile(path), await Deno.readTextFile(`${dir}/whole/reference.jsonl`));
  }));

Deno.test("a reference file that is not as it was written is not believed", () =>
  inTempDir(async (dir) => {
    const whole = await train({ ...base, output_dir: `${dir}/whole` });
    const good = await Deno.readTextFile(`${dir}/whole/reference.jsonl`);
    const damage: Record<string, (text: string) => string> = {
      "another key": (text) => text.replace(/"reference":"./, '"reference":"?'),
      "a changed digit": (text) => text.replace(/(\d)\.(\d)/, (_, a, b) => `${a}.${(Number(b) + 1) % 10}`),
      "no number": (text) => text.replace(/-\d+\.\d+/, "null"),
      "a missing line": (text) => text.split("\n").filter((_, i) => i !== 1).join("\n"),
      "nothing": () => "",
    };
    for (const [what, change] of Object.entries(damage)) {
      const changed = change(good);
      assertNotEquals(changed, good);
      const output_dir = `${dir}/${what}`;
      await Deno.mkdir(output_dir);
      await Deno.writeTextFile(`${output_dir}/reference.jsonl`, changed);
      const run = await train({ ...base, output_dir });
      assertEquals(timeless(run.metrics), timeless(whole.metrics), what);
      const lines = await linesOf(`${output_dir}/reference.jsonl`);
      assertEquals(lines.flatMap(({ items }) => items).length, 6, what);
    }
  }));

Deno.test("memory is told before it is taken, and a refusal names the sum and what lowers it", () =>
  inTempDir(async (dir) => {
    const events: TrainEvent[] = [];
    await train({ ...base, output_dir: `${dir}/run` }, { onEvent: (event) => events.push(event) });
    const at = events.findIndex((event) => event.type === "notice" && event.text.startsWith("memory: "));
    const loaded = events.findIndex((event) => event.type === "phase" && event.name === "load");
    assert(at >= 0 && at < loaded, `the memory is told at ${at}, weights are loaded at ${loaded}`);

    const { pushErrorScope, popErrorScope } = GPUDevice.prototype;
    const scopes: string[] = [];
    GPUDevice.prototype.pushErrorScope = function (filter) {
      scopes.push(filter);
      return pushErrorScope.call(this, filter);
    };
    GPUDevice.prototype.popErrorScope = async function () {
      const filter = scopes.pop(), error = await popErrorScope.call(this);
      return filter === "out-of-memory" ? new GPUOutOfMemoryError("Not enough memory left.") : error;
    };
    try {
      const refused = await assertRejects(() => train({ ...base, output_dir: `${dir}/no` }), InputError);
      for (
        const part of [
          "Not enough memory left",
          "memory: ",
          " MB",
          "Less is taken with gradient_checkpointing true: ",
          "lora_r 16: ",
        ]
      ) {
        assertStringIncludes(refused.message, part);
      }
    } finally {
      Object.assign(GPUDevice.prototype, { pushErrorScope, popErrorScope });
    }
  }));
