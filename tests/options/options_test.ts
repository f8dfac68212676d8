/** Options: sources, conversions, messages, the losses' own options, help. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { nearest } from "../../lib/nearest.ts";
import { defineOptions } from "../../lib/options/options.ts";
import { z } from "../../lib/deps.ts";
import { InputError } from "../../lib/errors.ts";
import { losses } from "../../lib/losses/mod.ts";
import { exportOptions } from "../../lib/commands/export.ts";
import { generateOptions } from "../../lib/commands/generate.ts";
import { inspectOptions } from "../../lib/commands/inspect.ts";
import { scoreOptions } from "../../lib/commands/score.ts";
import { trainOptions } from "../../lib/commands/train.ts";

/** The message of the InputError that `work` throws. */
function complaint(work: () => unknown): string {
  return assertThrows(work, InputError).message;
}

Deno.test("config: flags win over the file, and null in the file is the same as nothing", () => {
  const given = trainOptions.given({
    file: { learning_rate: 1e-3, batch_size: 4, max_steps: null, shuffle: true },
    flags: { learning_rate: "5e-7", shuffle: false },
  });
  assertEquals(given, { learning_rate: 5e-7, batch_size: 4, shuffle: false });
});

Deno.test("config: a flag's text becomes what a config file would hold", () => {
  const given = (flags: Record<string, string | boolean>) => trainOptions.given({ flags });
  assertEquals(given({ token_budget: "auto" }), { token_budget: "auto" });
  assertEquals(given({ token_budget: "512" }), { token_budget: 512 });
  assertEquals(given({ resume: true, output_dir: "runs/a" }), { resume: true, output_dir: "runs/a" });
  assertEquals(given({ resume: "runs/a/checkpoint-10" }), { resume: "runs/a/checkpoint-10" });
  assertEquals(given({ output_dir: "7" }), { output_dir: "7" });
  assertEquals(given({ strict: "true", profile: "false" }), { strict: true, profile: false });
  const lists = defineOptions({
    task: "try",
    summary: "Tries lists.",
    shape: { names: z.array(z.string()), sizes: z.array(z.int().min(1)) },
  });
  assertEquals(lists.given({ flags: { names: "q_proj, v_proj", sizes: "1,2" } }), {
    names: ["q_proj", "v_proj"],
    sizes: [1, 2],
  });
  assertStringIncludes(
    complaint(() => lists.given({ flags: { names: "a", sizes: "1,x" } })),
    "sizes (--sizes)",
  );
});

Deno.test("config: an unknown key is refused and the nearest known one named", () => {
  const fromFile = complaint(() => trainOptions.given({ file: { lerning_rate: 1 }, fileName: "my.json" }));
  assertStringIncludes(fromFile, "lerning_rate (in my.json) is not known");
  assertStringIncludes(fromFile, "learning_rate (--learning-rate)");
  const fromFlag = complaint(() => trainOptions.given({ flags: { no_shufle: true } }));
  assertStringIncludes(fromFlag, "(--shuffle)");
  // Names that every object inherits are no options either.
  assertStringIncludes(complaint(() => trainOptions.given({ flags: { constructor: "x" } })), "not known");
  assertStringIncludes(complaint(() => trainOptions.resolve({ betta: 1 } as object)), "beta (--beta)");
  assertEquals(nearest("qqqqqqqqqqqqqq", ["beta", "seed"]), undefined);
});

Deno.test("config: a number that float32 would make 0 or infinite is refused at its option", () => {
  const cases: Record<string, unknown>[] = [
    { beta: 1e39 },
    { adam_epsilon: 1e-46 },
    { learning_rate: 1e-40 },
    { weight_decay: Number.MAX_VALUE },
  ];
  for (const options of cases) {
    const [key] = Object.keys(options);
    assertStringIncludes(complaint(() => trainOptions.resolve(options)), `${key} is `);
    assertStringIncludes(complaint(() => trainOptions.resolve(options)), "that float32 holds");
  }
  for (const options of [{ top_p: 1e-46 }, { temperature: 1e-40 }]) {
    const given = { model: "m", prompt: "p", ...options };
    assertStringIncludes(complaint(() => generateOptions.resolve(given)), "that float32 holds");
  }
  assertEquals(trainOptions.resolve({ beta: 3.4e38, weight_decay: 1.2e-38 }).beta, 3.4e38);
});

Deno.test("config: one paragraph names every problem with what was found and wanted", () => {
  const message = complaint(() =>
    trainOptions.given({
      file: { batch_size: 0, learning_rate: "5e-7" },
      flags: { max_steps: true, warmup_ratio: "1.5", lr_scheduler_type: "cosin", token_budget: "all" },
    })
  );
  assertStringIncludes(message, "6 options are not right");
  assertStringIncludes(message, "batch_size (in the config file) is 0, wanted: a whole number at least 1");
  assertStringIncludes(message, 'learning_rate (in the config file) is "5e-7", wanted: a number at least 0');
  assertStringIncludes(message, "max_steps (--max-steps) is without a value");
  assertStringIncludes(
    message,
    "warmup_ratio (--warmup-ratio) is 1.5, wanted: a number at least 0 and at most 1",
  );
  assertStringIncludes(message, "wanted: one of cosine, linear, constant");
  assertStringIncludes(message, "wanted: auto, or a whole number at least 1");
  assert(!message.includes("\n"));
});

Deno.test("config: missing options and contradictions between options", () => {
  assertStringIncludes(complaint(() => scoreOptions.resolve({})), "model (--model) is missing");
  assertStringIncludes(complaint(() => trainOptions.resolve({ model: "m" })), "model is given without data");
  assertStringIncludes(complaint(() => trainOptions.resolve({ resume: true })), "output_dir");
  assertStringIncludes(complaint(() => generateOptions.resolve({ model: "m" })), "prompt (--prompt)");
  const both = { model: "m", prompt: "a", prompts: "b.jsonl" };
  assertStringIncludes(complaint(() => generateOptions.resolve(both)), "both given");
});

Deno.test("config: each loss has its own options and defaults, those of another loss are refused", () => {
  for (const loss of Object.values(losses)) {
    const resolved = trainOptions.resolve({ loss_type: loss.name as keyof typeof losses });
    const defaults = Object.fromEntries(
      Object.entries(loss.options).map(([key, schema]) => [key, schema.parse(undefined)]),
    );
    const own = Object.fromEntries(Object.keys(defaults).map((key) => [key, resolved[key as "beta"]]));
    assertEquals(own, defaults, loss.name);
    const others = Object.values(losses).flatMap(({ options }) => Object.keys(options));
    for (const key of others.filter((key) => !(key in loss.options))) {
      const message = complaint(() => trainOptions.resolve({ loss_type: loss.name, [key]: 0.1 } as object));
      assertStringIncludes(message, `not of loss_type ${loss.name}`);
    }
  }
  assertEquals(trainOptions.resolve({ loss_type: "dpo", label_smoothing: 0.2 }).label_smoothing, 0.2);
  const smoothing = complaint(() => trainOptions.resolve({ loss_type: "dpo", label_smoothing: 0.5 }));
  assertStringIncludes(smoothing, "wanted: a number at least 0 and below 0.5");
  const unknown = complaint(() =>
    trainOptions.given({ flags: { loss_type: "dop", label_smoothing: "0.1" } })
  );
  assertStringIncludes(unknown, 'loss_type (--loss-type) is ["dop"], wanted: one of mipo, dpo');
  assert(!unknown.includes("label_smoothing"), unknown);
});

Deno.test("config: resolved options resolve to themselves, with what a run records beside them", () => {
  const resolved = trainOptions.resolve({ model: "m", data: "d.jsonl", loss_type: "dpo", max_steps: 3 });
  const recorded = { ...resolved, versions: { deno: "2" }, gpu_adapter: "some", data_hash: "00" };
  assertEquals(trainOptions.resolve(JSON.parse(JSON.stringify(recorded))), resolved);
});

Deno.test("config: defaults", () => {
  const train = trainOptions.resolve({});
  assertEquals(train.loss_type, "mipo");
  assertEquals(train.shuffle, true);
  assertEquals(train.token_budget, "auto");
  assertEquals(train.resume, false);
  assert(!("max_steps" in train) && !("output_dir" in train));
  assertEquals(generateOptions.resolve({ model: "m", prompt: "p" }).temperature, 0);
  assertEquals(inspectOptions.resolve({ model: "m", data: "d" }).rows, "0-2");
});

Deno.test("config: help lists every option with type, default and meaning", () => {
  for (const options of [trainOptions, scoreOptions, generateOptions, exportOptions, inspectOptions]) {
    const help = options.help();
    for (const field of options.fields) {
      assertStringIncludes(help, `  --${field.flag}`);
      assert(field.meaning.length > 10, `${options.task}: ${field.key} has no meaning`);
      if (field.default !== undefined) {
        assertStringIncludes(help.replace(/\s+/g, " "), `${field.wanted}; default ${field.default}`);
      }
    }
    assert(help.split("\n").every((line) => line.length <= 110), options.task);
  }
  assertStringIncludes(trainOptions.help(), "--shuffle, --no-shuffle");
});
