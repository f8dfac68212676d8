/**
 * The tuner: what it discards and chooses, what it remembers, which problems a model has, and that choices hold.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import { loadExamples } from "../../lib/data/examples.ts";
import { InputError } from "../../lib/errors.ts";
import { closeGpu, type Gpu, nullGpu, openGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import type { Problem } from "../../lib/tuning/problem.ts";
import { tuneProblem } from "../../lib/tuning/tuner.ts";
import { createObjective } from "../../lib/losses/mod.ts";
import { parseModelConfig } from "../../lib/model/families/mod.ts";
import { attentionOp } from "../../lib/ops/attention.ts";
import { linear } from "../../lib/ops/matmul.ts";
import { recordedKernels } from "../../lib/train/kernels.ts";
import {
  applyChoices,
  collectClasses,
  prepareKernels,
  tuneClasses,
  type WorkClass,
  workClasses,
} from "../../lib/tuning/prepare.ts";
import { type Choices, readChoices, writeChoices } from "../../lib/tuning/cache.ts";
import { attentionBackwardCase, attentionCase } from "../cases/attention.ts";
import type { OpCase } from "../cases/case.ts";
import { decodeCase } from "../cases/decode.ts";
import { matmulCase } from "../cases/matmul.ts";
import { normCase } from "../cases/norm.ts";
import { planCase } from "../cases/run.ts";
import { gpuGradients, gpuModel, packingFor } from "../gpu_model.ts";
import { testGpu } from "../harness.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

/** y += x, and ways to do it well and badly. */
const addition: Problem = {
  key: "fake 1",
  flops: 1,
  tensors: { x: { shape: [256, 256] }, y: { shape: [256, 256], output: true } },
  variants: ["usual", "wrong", "broken", "fast", "slow"],
  fallback: "usual",
  tolerance: 1e-6,
  record: (rec, variant, { x, y }) => {
    if (variant === "broken") throw new RangeError("this kernel does not compile");
    if (variant === "wrong") return rec.copy(x!, y!);
    // The same result, after work in vain: hundreds of products of 256 x 256 matrices with each other.
    const vain = { usual: 10, slow: 20 }[variant] ?? 0;
    for (let i = 0; i < vain; i++) linear(rec, x!, x!, { name: "t", out: scratch(rec), variant: "simple" });
    linear(rec, x!, identityOf(rec), { name: "y", out: y!, residual: y!, variant: "simple" });
  },
};

/** Resident, so that what is written there is not left out as unread. */
let made: { identity: ReturnType<typeof resident>; scratch: ReturnType<typeof resident> } | undefined;

function resident(rec: Recorder, name: string) {
  const buffer = rec.gpu.device!.createBuffer({
    size: 4 * 256 * 256,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
  const handle = rec.tensor(name, [256, 256]);
  return { ...handle, place: { buffer, offset: 0 } };
}

function identityOf(rec: Recorder) {
  if (!made) {
    made = { identity: resident(rec, "identity"), scratch: resident(rec, "scratch") };
    const data = Float32Array.from({ length: 256 * 256 }, (_, i) => i % 257 === 0 ? 1 : 0);
    rec.gpu.device!.queue.writeBuffer(made.identity.place.buffer, 0, data);
  }
  return made.identity;
}

function scratch(rec: Recorder) {
  identityOf(rec);
  return made!.scratch;
}

Deno.test("a wrong variant and a broken one are discarded, and of the others the fast one is chosen", async () => {
  const gpu = await testGpu();
  const outcome = await tuneProblem(gpu, addition);
  assert(outcome);
  // It does a tenth of the default's work: no noise makes that up in the best of several.
  assertEquals(outcome.choice, "fast");
  assertEquals(outcome.fallback, "usual");
  assertEquals(outcome.timings.map(({ variant }) => variant).sort(), ["fast", "slow", "usual"]);
  assertEquals(outcome.discarded.map(({ variant }) => variant), ["wrong", "broken"]);
  assertStringIncludes(outcome.discarded[0]!.why, "differs from usual");
  assertStringIncludes(outcome.discarded[1]!.why, "does not compile");
  assert(outcome.complete);
  assertEquals(gpu.errors, []);
});

Deno.test("without time nothing is chosen", async () => {
  const gpu = await testGpu();
  assertEquals(await tuneProblem(gpu, addition, { deadline: 0 }), null);
});

const choice = { variant: "simple", ms: 1.5, default_ms: 2, complete: true };

Deno.test("choices come back from the cache, merged, and only for the adapter that they are of", () =>
  inTempDir(async (dir) => {
    const path = `${dir}/deep/tune.json`;
    const gpu = nullGpu("software");
    const other = { ...gpu, name: "another adapter" };
    assertEquals(await readChoices(gpu, path), {});
    await writeChoices(gpu, { "matmul a": choice }, { path });
    await writeChoices(other, { "matmul b": choice }, { path });
    await writeChoices(gpu, { "matmul c": choice }, { path });
    assertEquals(await readChoices(gpu, path), { "matmul a": choice, "matmul c": choice });
    assertEquals(await readChoices(other, path), { "matmul b": choice });
    // Nothing is left beside the file.
    assertEquals(Array.from(Deno.readDirSync(`${dir}/deep`), ({ name }) => name), ["tune.json"]);
  }));

Deno.test("choices for other kernels or another version are not used", () =>
  inTempDir(async (dir) => {
    const path = `${dir}/tune.json`;
    const gpu = nullGpu();
    for (const key of ["version", "kernels"]) {
      await Deno.remove(path).catch(() => {});
      await writeChoices(gpu, { "matmul a": choice }, { path });
      const content = JSON.parse(await Deno.readTextFile(path));
      content.adapters[gpu.name][key] = "something else";
      await Deno.writeTextFile(path, JSON.stringify(content));
      assertEquals(await readChoices(gpu, path), {});
    }
  }));

Deno.test("a corrupt or foreign cache is ignored with a notice, and replaced", () =>
  inTempDir(async (dir) => {
    const path = `${dir}/tune.json`;
    const gpu = nullGpu();
    for (const text of ["{", "[]", '{"format": "mine"}', "", "null"]) {
      await Deno.writeTextFile(path, text);
      const notices: string[] = [];
      assertEquals(await readChoices(gpu, path, (notice) => notices.push(notice)), {});
      assertEquals(notices.length, 1, text);
      assertStringIncludes(notices[0]!, path);
      await writeChoices(gpu, { "matmul a": choice }, { path });
      assertEquals(await readChoices(gpu, path), { "matmul a": choice });
    }
    // Entries that make no sense are passed over.
    const content = JSON.parse(await Deno.readTextFile(path));
    content.adapters[gpu.name].choices["matmul b"] = 7;
    await Deno.writeTextFile(path, JSON.stringify(content));
    assertEquals(await readChoices(gpu, path), {});
  }));

Deno.test("without permission for the environment there is no cache, and no question", async () => {
  const module = new URL("../../lib/tuning/cache.ts", import.meta.url);
  const source = `import { cachePath } from ${
    JSON.stringify(module.href)
  }; console.log(cachePath() ?? "none");`;
  const run = async (...permissions: string[]) => {
    const script = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.writeTextFile(script, source);
    const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--allow-import", "--no-lock", ...permissions, script],
      env: { MIPO_CACHE: "/somewhere", NO_COLOR: "1" },
    }).output();
    await Deno.remove(script);
    assert(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout).trim();
  };
  assertEquals(await run("--allow-read", "--allow-write"), "none");
  assertEquals(await run("--allow-env", "--allow-read"), "none");
  assertEquals(await run("--allow-env", "--allow-read", "--allow-write"), "/somewhere/tune.json");
});

async function fixtureConfig() {
  const path = fixturePath("llama/policy/config.json");
  return parseModelConfig(JSON.parse(await Deno.readTextFile(path)), path);
}

const productsOf = (classes: readonly WorkClass[]) => classes.filter(({ key }) => key.startsWith("matmul "));

Deno.test("a model's problem classes account for all matrix products of its plan", async () => {
  const gpu = nullGpu("software");
  const config = await fixtureConfig();
  const capacity = { tokens: 104, targets: 48, segments: 4 };
  const all = workClasses(gpu, { config, compute: "f32", capacity, training: true });
  const costs = all.map(({ totalFlops }) => totalFlops);
  assertEquals(costs, costs.toSorted((a, b) => b - a));
  const classes = productsOf(all);
  const { hidden_size: D, intermediate_size: F, num_hidden_layers: L, vocab_size: V, head_dim: K } = config;
  const qkv = (config.num_attention_heads + 2 * config.num_key_value_heads) * K;
  const perToken = L * (qkv * D + config.num_attention_heads * K * D + 3 * D * F);
  // Forward, gradient of the input, gradient of the weight; the head works on scored positions alone.
  const expected = 3 * 2 * (capacity.tokens * perToken + capacity.targets * V * D);
  assertEquals(classes.reduce((sum, { totalFlops }) => sum + totalFlops, 0), expected);
  const layouts = new Set(classes.map(({ key }) => key.split(" ").slice(0, 3).join(" ")));
  assertEquals([...layouts].sort(), ["matmul nn f32", "matmul nt f32", "matmul tn f32"]);

  const forward = productsOf(workClasses(gpu, { config, compute: "bf16", capacity }));
  assert(forward.length > 0 && forward.every(({ key }) => key.startsWith("matmul nt bf16")));
  const generation = { slots: 4, positions: 64, prefill: 64 };
  const families = workClasses(gpu, { config, compute: "f32", generation }).map(({ key }) =>
    key.split(" ")[0]
  );
  assertEquals([...new Set(families)].sort(), ["attention", "decode", "matmul", "rows"]);
});

Deno.test("a model's attention is two problem classes, each of all its layers", async () => {
  const gpu = nullGpu("software");
  const config = await fixtureConfig();
  const capacity = { tokens: 512, targets: 48, segments: 4 };
  const classes = workClasses(gpu, { config, compute: "f32", capacity, training: true })
    .filter(({ key }) => key.startsWith("attention "));
  const { num_hidden_layers: L, head_dim: K, num_attention_heads: H, num_key_value_heads: G } = config;
  const rest = `${K} ${H / G} 9 ${Math.ceil(Math.log2(H))}`;
  assertEquals(classes.map(({ key }) => key), [`attention backward ${rest}`, `attention forward ${rest}`]);
  for (const { example, totalFlops, flops } of classes) {
    assertEquals(totalFlops, L * flops);
    // 512 rows are one whole example of the tuner: what is timed is what is counted.
    assertEquals(example().flops, flops);
  }
});

/** One small product, as a class. */
function smallProduct(gpu: Gpu) {
  return collectClasses(gpu, (twin) => {
    const rec = new Recorder(twin);
    linear(rec, rec.tensor("x", [64, 64]), rec.tensor("w", [64, 64]), { name: "y" });
  });
}

/** Kernels that compute it, by the Gpu's choice or by a variant's name. */
function shadersOf(gpu: Gpu, variant?: string): string[] {
  const rec = new Recorder(gpu);
  linear(rec, rec.tensor("x", [64, 64]), rec.tensor("w", [64, 64]), {
    name: "y",
    ...(variant ? { variant } : {}),
  });
  return rec.steps.flatMap((step) => step.kind === "dispatch" ? [step.shader.label] : []);
}

Deno.test("a matrix product is tuned on the adapter, remembered, and the choice is what plans then use", () =>
  inTempDir(async (dir) => {
    const path = `${dir}/tune.json`;
    const gpu = await openGpu();
    try {
      const classes = smallProduct(gpu);
      assertEquals(classes.map(({ key }) => key), ["matmul nt f32 6 6 6"]);
      const problem = classes[0]!.example();
      // Few variants keep the test short; the first, and two that fit.
      const some = {
        ...problem,
        variants: [...new Set([problem.variants[0]!, problem.fallback, "image_8x8"])],
      };
      const few = [{ ...classes[0]!, example: () => some }];
      const [outcome] = await tuneClasses(gpu, few, { seconds: 60, rounds: 2, path });
      assert(outcome);
      assertEquals(outcome.discarded, []);
      assert(some.variants.includes(outcome.choice));
      const remembered: Choices = await readChoices(gpu, path);
      assertEquals(Object.keys(remembered), ["matmul nt f32 6 6 6"]);
      assertEquals(remembered["matmul nt f32 6 6 6"]!.variant, outcome.choice);
      for (const variant of some.variants) {
        applyChoices(gpu, { "matmul nt f32 6 6 6": variant });
        assertEquals(shadersOf(gpu), shadersOf(gpu, variant));
      }
    } finally {
      closeGpu(gpu);
    }
  }));

Deno.test("candidates come in the adapter's order: its own kind first, after number 0", () => {
  const familiesOf = (adapterClass: "software" | "gpu") => {
    const [{ example } = { example: () => addition }] = collectClasses(nullGpu(adapterClass), (twin) => {
      planCase(twin, matmulCase({ layout: "nt", M: 16, N: 64, K: 64 }));
    });
    return [...new Set(example().variants.map((name) => name.split("_")[0]!))];
  };
  assertEquals(familiesOf("software"), ["simple", "image", "buffer", "rows", "block"]);
  assertEquals(familiesOf("gpu"), ["simple", "rows", "block", "image", "buffer"]);
  const attention = (adapterClass: "software" | "gpu") =>
    attentionOp.candidatesFor(adapterClass).map(({ name }) => name);
  assertEquals(attention("gpu"), ["simple", "rows_large", "group", "image_small", "image", "image_large"]);
  assertEquals(attention("software"), ["simple", "image_small", "image", "image_large", "rows_large"]);
});

/** 700 rows of attention: one whole example of the tuner, and one that is cut off. */
const heads = {
  H: 8,
  G: 4,
  K: 8,
  packing: [{ prompt: 128, branches: [192, 192] }, { prompt: 188, branches: [] }],
};

/** A case of every tuned op, but for the matrix product. */
const tuned = [
  normCase({ T: 4, D: 64 }),
  decodeCase({ B: 4, D: 64, N: 48, norm: true, swiglu: true }),
  attentionCase(heads),
  attentionBackwardCase(heads),
];

/** Kernels that cases get on a Gpu. */
function kernelsOf(gpu: Gpu, cases: readonly OpCase[]): string[] {
  return cases.flatMap((one) => planCase(gpu, one).steps).flatMap((step) =>
    step.kind === "dispatch" ? [step.shader.label] : []
  );
}

Deno.test("the variants of reductions, decoding and attention agree on the adapter, and choices reach their ops", async () => {
  const gpu = await openGpu();
  // On a twin that counts as a GPU no variant is left out.
  const classes = collectClasses({ ...gpu, adapterClass: "gpu" }, (twin) => kernelsOf(twin, tuned));
  assertEquals(classes.map(({ key }) => key).sort(), [
    "attention backward 8 2 10 3",
    "attention forward 8 2 10 3",
    "decode buffer swiglu norm 2 7 6",
    "rows 2 6",
  ]);
  const usual = kernelsOf(gpu, tuned);
  const other: Record<string, string> = { rows: "group", decode: "columns_4", attention: "rows_large" };
  for (const { key, example } of classes) {
    const outcome = await tuneProblem(gpu, example(), { rounds: 0 });
    assertEquals(outcome?.discarded, []);
    assertEquals(outcome?.timings.length, example().variants.length);
    applyChoices(gpu, { [key]: other[key.split(" ")[0]!]! });
  }
  assert(kernelsOf(gpu, tuned).every((label, i) => label !== usual[i]));
  closeGpu(gpu);
});

Deno.test("where attention cannot have the preferred variant it gets the default", () => {
  const gpu = nullGpu("software");
  // No multiple of 4: no images, and no vectors.
  const cases = [attentionCase({ ...heads, K: 6 }), attentionBackwardCase({ ...heads, K: 6 })];
  const labels = () => kernelsOf(gpu, cases);
  const usual = labels();
  const prefer = (variant: string) => {
    const keys = ["attention forward 6 2 10 3", "attention backward 6 2 10 3"];
    applyChoices(gpu, Object.fromEntries(keys.map((key) => [key, variant])));
  };
  for (const variant of ["image_small", "group"]) {
    prefer(variant);
    assertEquals(labels(), usual);
  }
  prefer("rows_large");
  assert(labels().every((label, i) => label !== usual[i]));
});

Deno.test("an unknown choice is left out with a notice", async () => {
  const notices: string[] = [];
  const onEvent = (event: { type: string; text?: string }) => notices.push(event.text ?? "");
  const gpu = await testGpu();
  const applied = applyChoices(gpu, {
    "matmul nt f32 1 1 1": "simple",
    "matmul nt f32 2 2 2": "gone",
    "x y": "z",
  }, {
    onEvent,
  });
  assertEquals([...applied], ["matmul nt f32 1 1 1"]);
  assertEquals(notices.length, 2);
});

Deno.test("a long run tunes for some seconds and says so, a short one does not, and neither where it is off", async () => {
  const config = await fixtureConfig();
  const work = {
    config,
    compute: "f32" as const,
    capacity: { tokens: 64, targets: 32, segments: 4 },
    training: true,
  };
  const prepare = async (repeats: number, tune: boolean, recorded?: Record<string, string>) => {
    const gpu = await openGpu();
    const notices: string[] = [];
    const aborted = AbortSignal.abort(); // the announcement is what is looked at
    const kernels = await prepareKernels(gpu, { ...work, repeats }, {
      tune,
      recorded,
      signal: aborted,
      onEvent: (event) => event.type === "notice" && notices.push(event.text),
      path: undefined,
    });
    closeGpu(gpu);
    return { kernels, announced: notices.some((text) => text.startsWith("tuning kernels for this adapter")) };
  };
  assertEquals(await prepare(1e9, true), { kernels: {}, announced: true });
  assertEquals(await prepare(1, true), { kernels: {}, announced: false });
  assertEquals(await prepare(1e9, false), { kernels: {}, announced: false });
  const key = productsOf(workClasses(nullGpu("software"), work))[0]!.key;
  const recorded = { [key]: "simple", "matmul nt f32 20 20 20": "simple" };
  // Those of the work's classes are recorded again.
  assertEquals(await prepare(1e9, true, recorded), { kernels: { [key]: "simple" }, announced: false });
});

Deno.test("fixed choices give the same bits again", async () => {
  const path = fixturePath("llama/policy");
  const tokenizer = await loadTokenizer(path);
  const { examples } = await loadExamples(fixturePath("llama/sft.jsonl"), {
    tokenizer,
    maxLength: 64,
    kinds: ["completion", "text"],
  });
  const objective = createObjective({ loss_type: "sft" });
  const set = { examples: examples.slice(0, 2), references: null };
  const config = await fixtureConfig();
  const compute = async () => {
    const gpu = await openGpu();
    const params = await gpuModel(gpu, path);
    const capacity = packingFor(set.examples).shape;
    const classes = productsOf(workClasses(gpu, { config, compute: "f32", capacity, training: true }));
    applyChoices(gpu, Object.fromEntries(classes.map(({ key }) => [key, "simple"])));
    const { gradients } = await gpuGradients(gpu, params, { set, objective });
    const kernels = [...gpu.pipelines.keys()].map((label) => label.split(" ")[0]!);
    closeGpu(gpu);
    return { gradients, kernels };
  };
  const first = await compute();
  // The choices covered every product of the step.
  const products = first.kernels.filter((name) => name.startsWith("matmul_"));
  assertEquals([...new Set(products)], ["matmul_simple"]);
  assertEquals((await compute()).gradients, first.gradients);
});

Deno.test("a run's record gives its choices; a directory without one is refused", () =>
  inTempDir(async (dir) => {
    const kernels = { "matmul nt f32 6 6 6": "simple" };
    await Deno.writeTextFile(`${dir}/config.json`, JSON.stringify({ seed: 1, kernels }));
    assertEquals(await recordedKernels(dir), kernels);
    await Deno.writeTextFile(`${dir}/config.json`, JSON.stringify({ seed: 1 }));
    assertEquals(await recordedKernels(dir), {});
    await assertRejects(() => recordedKernels(`${dir}/none`), InputError, "config.json is not there");
  }));
