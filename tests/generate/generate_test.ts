/** Generation against the goldens, against the float64 network, and against itself in other batches. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import { InputError } from "../../lib/errors.ts";
import { openModelDirectory } from "../../lib/formats/huggingface.ts";
import { writeSafetensors } from "../../lib/formats/safetensors_write.ts";
import { destroyParams, loadParams } from "../../lib/model/params.ts";
import { readTensor, writeTensor } from "../../lib/gpu/tensor.ts";
import { openChat } from "../../lib/commands/chat.ts";
import { generate, type GenerationRow } from "../../lib/commands/generate.ts";
import { completionText } from "../../lib/generate/complete.ts";
import { Generator, type GeneratorOptions } from "../../lib/generate/generator.ts";
import { gpuModel } from "../gpu_model.ts";
import { chiSquaredP } from "../chi_squared.ts";
import { difference, randomNormal, testGpu } from "../harness.ts";
import { packBatch } from "../reference/batch.ts";
import { fixtureNames, fixturePath, fixtureWeights, loadFixture } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";
import { decodedLogits } from "./decoded_logits.ts";
import { toBf16 } from "../reference/matmul.ts";
import { logits as referenceLogits } from "../reference/network.ts";

const GREEDY: GeneratorOptions = {
  temperature: 0,
  topK: 0,
  topP: 1,
  seed: 7,
  eosIds: [],
  maxNewTokens: 20,
};

for (const name of fixtureNames) {
  Deno.test(`${name}: greedy tokens are PyTorch's`, async () => {
    const gpu = await testGpu();
    const params = await gpuModel(gpu, fixturePath(`${name}/policy`), false);
    const tokenizer = await loadTokenizer(fixturePath(`${name}/policy`));
    const { expected } = await loadFixture(name);
    const goldens = expected.greedy as { prompt: string; new_ids: number[] }[];
    const generator = await Generator.create(gpu, params, { slots: 4, positions: 100 });
    try {
      const prompts = goldens.map(({ prompt }) => tokenizer.encode(prompt, { specialTokens: true }));
      const eosIds = params.config.eos_token_ids;
      const results = await generator.generate(prompts, { ...GREEDY, eosIds });
      assertEquals(results.map(({ tokens }) => tokens), goldens.map(({ new_ids }) => new_ids));
      for (const { tokens, finishReason } of results) {
        assertEquals(finishReason, eosIds.includes(tokens.at(-1)!) ? "stop" : "length");
      }
    } finally {
      generator.destroy();
      destroyParams(params);
    }
  });

  Deno.test(`${name}: the logits of cached decoding are those of the whole forward pass`, async () => {
    const { config, policy, pairs } = await loadFixture(name);
    const V = config.vocab_size;
    // Two sequences of different lengths, each prefilled up to some token and then fed the rest.
    const sequences = pairs.slice(0, 2).map(({ prompt, completions }) => [...prompt, ...completions[0]!]);
    const prefilled = [Math.floor(sequences[0]!.length / 2), 0];
    const steps = Math.min(...sequences.map((ids, b) => ids.length - prefilled[b]!));
    assert(steps > 5);
    const gpu = await testGpu();
    const params = await gpuModel(gpu, fixturePath(`${name}/policy`), false);
    const found = await decodedLogits(gpu, params, { sequences, prefilled, steps });
    destroyParams(params);
    sequences.forEach((ids, b) => {
      const batch = packBatch([{ prompt: ids, completions: [] }], config.sliding_window);
      const expected = referenceLogits(config, policy, batch);
      for (let i = 0; i < steps; i++) {
        const at = prefilled[b]! + i;
        const row = expected.subarray(at * V, (at + 1) * V);
        const { relative } = difference(found[i]!.subarray(b * V, (b + 1) * V), row);
        assert(relative < 1e-5, `sequence ${b}, position ${at}: ${relative}`); // float32 against float64
      }
    });
  });
}

/** Prompts of 1 to 40 tokens. */
async function somePrompts(name: string): Promise<number[][]> {
  const { pairs } = await loadFixture(name);
  const ids = pairs.flatMap(({ prompt }) => prompt);
  return [3, 1, 40, 12, 7, 25, 2].map((length, i) => ids.slice(5 * i, 5 * i + length));
}

for (const temperature of [0, 1]) {
  Deno.test(`many prompts in few slots give each prompt's own tokens, temperature ${temperature}`, async () => {
    const gpu = await testGpu();
    const params = await gpuModel(gpu, fixturePath("mistral/policy"), false);
    const prompts = await somePrompts("mistral");
    // The commonest token as an end token, so that slots are handed on at different times.
    const options = { ...GREEDY, temperature, topP: 0.95, topK: 50, maxNewTokens: 45, eosIds: [78, 166, 4] };
    const runs: string[] = [];
    for (const slots of [1, 3, 16]) {
      const generator = await Generator.create(gpu, params, { slots, positions: 85 });
      const counts: number[] = [];
      const onProgress = (done: number) => counts.push(done);
      const results = await generator.generate(prompts, { ...options, onProgress });
      assertEquals(counts.at(-1), prompts.length);
      assert(results.every(({ tokens }) => tokens.length > 0 && tokens.length <= 45));
      runs.push(JSON.stringify(results));
      // a second call on the same generator starts from nothing
      assertEquals(JSON.stringify(await generator.generate(prompts, options)), runs[0]);
      generator.destroy();
    }
    assertEquals(new Set(runs).size, 1);
    assert(runs[0]!.includes("stop"), "the case shall have prompts that end early");
    destroyParams(params);
  });
}

Deno.test("trained weights are read as they are when generate is called", async () => {
  const gpu = await testGpu();
  const params = await gpuModel(gpu, fixturePath("llama/policy"), true);
  const other = await gpuModel(gpu, fixturePath("llama/ref"), false);
  const prompts = (await somePrompts("llama")).slice(0, 4);
  const generator = await Generator.create(gpu, params, { slots: 4, positions: 80 });
  const wanted = await Generator.create(gpu, other, { slots: 4, positions: 80 });
  const before = await generator.generate(prompts, GREEDY);
  const directory = await openModelDirectory(fixturePath("llama/ref"));
  const read = (name: string) => directory.read(name);
  await loadParams(gpu, params, { where: "llama/ref", tensors: directory.tensors, read });
  const after = await generator.generate(prompts, GREEDY);
  assertEquals(after, await wanted.generate(prompts, GREEDY));
  assert(JSON.stringify(after) !== JSON.stringify(before));
  for (const thing of [generator, wanted]) thing.destroy();
  for (const store of [params, other]) destroyParams(store);
  directory.close();
});

Deno.test("under bf16 tokens are those of a model whose matrices are rounded, sampled too", async () => {
  const gpu = await testGpu();
  const params = await gpuModel(gpu, fixturePath("llama/policy"), false);
  const rounded = await gpuModel(gpu, fixturePath("llama/policy"), false);
  const matrices = rounded.layers.flatMap(({ qkv, o, gateUp, down }) => [qkv, o, gateUp, down]);
  for (const { weight: { value } } of [...matrices, rounded.head]) {
    writeTensor(gpu, value, Float32Array.from(await readTensor(gpu, value), toBf16));
  }
  const size = { slots: 4, positions: 40 };
  const generator = await Generator.create(gpu, params, { ...size, compute: "bf16" });
  const plain = await Generator.create(gpu, params, size);
  const wanted = await Generator.create(gpu, rounded, size);
  // Of one token each: longer prompts round what goes into the products, too.
  const prompts = Array.from({ length: 12 }, (_, i) => [7 + 31 * i]);
  const options = { ...GREEDY, temperature: 1, maxNewTokens: 39 };
  const found = await generator.generate(prompts, options);
  assertEquals(found, await wanted.generate(prompts, options));
  assert(JSON.stringify(found) !== JSON.stringify(await plain.generate(prompts, options)));
  for (const thing of [generator, plain, wanted]) thing.destroy();
  for (const store of [params, rounded]) destroyParams(store);
});

Deno.test("a generator names what it cannot do, and ends when told to", async () => {
  const gpu = await testGpu();
  const params = await gpuModel(gpu, fixturePath("llama/policy"), false);
  const generator = await Generator.create(gpu, params, { slots: 2, positions: 12 });
  const refused = async (prompts: number[][], message: string) => {
    await assertRejects(() => generator.generate(prompts, GREEDY), InputError, message);
  };
  await refused([[1], []], "Prompt 1 has no tokens");
  await refused([[384]], "holds the token 384; the model knows 0 to 383");
  await refused([new Array<number>(12).fill(3)], "Prompt 0 has 12 tokens");
  assertEquals(await generator.generate([], GREEDY), []);
  const [full] = await generator.generate([[5, 6, 7]], GREEDY);
  assertEquals([full!.tokens.length, full!.finishReason], [9, "length"]); // 12 positions
  const signal = AbortSignal.abort();
  await assertRejects(() => generator.generate([[5]], { ...GREEDY, signal }), DOMException);
  generator.destroy();
  const poisoned = (await fixtureWeights("llama/policy")).get("model.norm.weight")!.length;
  writeTensor(gpu, params.finalNorm.value, new Float32Array(poisoned).fill(NaN));
  const broken = await Generator.create(gpu, params, { slots: 2, positions: 12 });
  await assertRejects(() => broken.generate([[5, 6]], GREEDY), Error, "no logit is finite");
  broken.destroy();
  destroyParams(params);
});

Deno.test("generate: rows of text and of messages, written as JSON lines", async () => {
  const folder = await Deno.makeTempDir();
  const { expected } = await loadFixture("llama3");
  const [first, second] = expected.greedy as { prompt: string; new_ids: number[] }[];
  const model = fixturePath("llama3/policy");
  const messages = [{ role: "user", content: "What does the captain say?" }];
  const prompts = `${folder}/prompts.jsonl`, output = `${folder}/out.jsonl`;
  const lines = [{ prompt: first!.prompt }, { prompt: messages, id: 3 }, { prompt: second!.prompt }];
  await Deno.writeTextFile(prompts, lines.map((line) => JSON.stringify(line)).join("\n"));
  const { rows } = await generate({ model, prompts, output, max_new_tokens: 20 });
  assertEquals(rows.map(({ tokens }) => tokens).filter((_, i) => i !== 1), [first!.new_ids, second!.new_ids]);
  assertEquals(rows.map(({ prompt }) => prompt), lines.map(({ prompt }) => prompt));
  assertEquals(rows.map(({ index }) => index), [0, 1, 2]);
  assertEquals([rows[0]!.finish_reason, rows[2]!.finish_reason], ["stop", "length"]);
  const tokenizer = await loadTokenizer(model);
  const end = tokenizer.decode([first!.new_ids.at(-1)!]);
  assert(
    end !== "" && !rows[0]!.completion.includes(end),
    "the end token is no part of the completion's text",
  );
  const written = (await Deno.readTextFile(output)).trimEnd().split("\n");
  assertEquals(written.map((line) => JSON.parse(line)), rows as unknown[]);
  assertEquals([...Deno.readDirSync(folder)].length, 2); // nothing is left beside the files
  // A conversation is what its template renders; the same text as a string would get a second BOS otherwise.
  const rendered = tokenizer.renderChat(messages, { addGenerationPrompt: true });
  const [asText, asChat] = [
    await generate({ model, prompt: rendered, max_new_tokens: 20 }),
    await generate({ model, prompt: messages[0]!.content, chat: true, max_new_tokens: 20 }),
  ].map((result) => result.rows[0]!.tokens);
  assertEquals(asChat, rows[1]!.tokens);
  assertEquals(asText, rows[1]!.tokens);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("generate: what is wrong with a prompt is said with its line", async () => {
  const folder = await Deno.makeTempDir();
  const prompts = `${folder}/prompts.jsonl`;
  const refused = async (row: unknown, message: string, more: { chat?: boolean; name?: string } = {}) => {
    await Deno.writeTextFile(prompts, `{"prompt": "The captain"}\n${JSON.stringify(row)}\n`);
    const model = fixturePath(`${more.name ?? "qwen2"}/policy`);
    const options = { model, prompts, ...(more.chat === undefined ? {} : { chat: more.chat }) };
    await assertRejects(() => generate(options), InputError, message);
  };
  await refused({ prompt: "" }, "prompts.jsonl:2: the prompt is empty");
  await refused(
    { text: "The captain" },
    "prompts.jsonl:2: a row of the wrong shape, {text: a string}",
  );
  await refused(
    { prompt: [{ role: "user" }] },
    "prompts.jsonl:2: message 0 of prompt has nothing as its content",
  );
  await refused({ prompt: [{ role: "user", content: "Hi" }] }, "Leave --no-chat out", { chat: false });
  await refused({ prompt: "river ".repeat(300) }, "max_position_embeddings 256");
  // the others in the file begin with a BOS: an empty prompt is one
  await Deno.writeTextFile(prompts, `{"prompt": ""}\n`);
  const { rows } = await generate({ model: fixturePath("llama/policy"), prompts, max_new_tokens: 3 });
  assertEquals(rows[0]!.tokens.length, 3);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("generate: a completion ends at the model's last position, and a notice says so", async () => {
  const notices: string[] = [];
  const onEvent = (event: { type: string; text?: string }) => {
    if (event.type === "notice") notices.push(event.text!);
  };
  const options = { model: fixturePath("mistral/policy"), prompt: "The bright:", max_new_tokens: 400 };
  const { rows } = await generate(options, { onEvent });
  const row: GenerationRow = rows[0]!;
  const { config } = await loadFixture("mistral");
  const room = config.max_position_embeddings - 5;
  assert(row.finish_reason === "stop" || row.tokens.length === room, `${row.tokens.length} of ${room}`);
  assert(notices.some((text) => text.includes("max_position_embeddings 256")), notices.join("; "));
});

/** Writes a model whose next token has these logits whatever came before: every layer adds nothing. */
async function writeConstantModel(folder: string, logits: readonly number[]): Promise<void> {
  const source = fixturePath("llama/policy");
  for (const name of ["tokenizer.json", "tokenizer_config.json", "config.json"]) {
    await Deno.copyFile(`${source}/${name}`, `${folder}/${name}`);
  }
  const directory = await openModelDirectory(source);
  directory.close();
  await writeSafetensors(
    `${folder}/model.safetensors`,
    [...directory.tensors].map(([name, { shape }]) => {
      const [rows = 0, columns = 1] = shape;
      const data = new Float32Array(rows * columns);
      if (/norm|embed_tokens/.test(name)) data.fill(1);
      if (name === "lm_head.weight") {
        data.forEach((_, i) => data[i] = logits[Math.floor(i / columns)]! / columns);
      }
      return { name, shape, dtype: "F32" as const, data };
    }),
  );
}

Deno.test("generate: at temperature 1 tokens are drawn from the model's softmax, whatever the seed", async () => {
  const logits = [...randomNormal(384, 5, 2)];
  logits[1] = -60; // the end token
  const largest = Math.max(...logits);
  const sum = logits.reduce((total, x) => total + Math.exp(x - largest), 0);
  const softmax = logits.map((x) => Math.exp(x - largest) / sum);
  await inTempDir(async (model) => {
    await writeConstantModel(model, logits);
    const prompts = `${model}/prompts.jsonl`;
    await Deno.writeTextFile(prompts, '{"prompt": "The"}\n'.repeat(32));
    for (const seed of [1, 2, 3, 42, 4_000_000_000]) {
      const { rows } = await generate({ model, prompts, temperature: 1, max_new_tokens: 240, seed });
      const counts = new Array<number>(384).fill(0);
      for (const token of rows.flatMap(({ tokens }) => tokens)) counts[token]!++;
      assertEquals(counts.reduce((total, n) => total + n), 32 * 240);
      const p = chiSquaredP(counts, softmax);
      assert(p > 0.001, `seed ${seed}: p ${p}`);
    }
  });
});

Deno.test("the kernel variants for GPUs generate the same tokens", async () => {
  const software = await testGpu();
  const gpu = { ...software, adapterClass: "gpu" as const };
  const prompts = (await somePrompts("qwen2")).slice(0, 4);
  const runs: string[] = [];
  for (const adapter of [software, gpu]) {
    const params = await gpuModel(adapter, fixturePath("qwen2/policy"), false);
    const generator = await Generator.create(adapter, params, { slots: 4, positions: 60 });
    runs.push(JSON.stringify(await generator.generate(prompts, GREEDY)));
    generator.destroy();
    destroyParams(params);
  }
  assertEquals(runs[1], runs[0]);
});

Deno.test("without room for forms of the weights none is made, and the tokens are the same", async () => {
  const gpu = await testGpu();
  const params = await gpuModel(gpu, fixturePath("llama/policy"), false);
  const weights = params.shards.reduce((sum, { param }) => sum + param.sizeBytes, 0);
  const prompts = (await somePrompts("llama")).slice(0, 2);
  const run = async (formsBytes: number) => {
    const before = gpu.created.textures;
    const generator = await Generator.create(gpu, params, { slots: 2, positions: 60, formsBytes });
    const tokens = await generator.generate(prompts.map((prompt) => prompt.slice(0, 1)), GREEDY);
    generator.destroy();
    return { tokens, textures: gpu.created.textures - before };
  };
  const [kept, none] = [await run(weights), await run(weights - 1)];
  assertEquals(none.tokens, kept.tokens);
  assertEquals(none.textures, 0);
  assert(kept.textures > 0);
  destroyParams(params);
});

Deno.test("generate: a completion keeps the blank that it begins with, an answer has none", async () => {
  const tokenizer = await loadTokenizer(fixturePath("mistral/policy"));
  const prompt = tokenizer.encode("no", { specialTokens: true });
  const whole = tokenizer.encode("no yes", { specialTokens: true });
  assertEquals(whole.slice(0, prompt.length), prompt);
  const tokens = whole.slice(prompt.length);
  assertEquals(completionText(tokenizer, { ids: prompt }, tokens), " yes");
  assertEquals(completionText(tokenizer, { ids: prompt, chat: true }, tokens), "yes");
});

Deno.test("generate: a stop text ends a completion and is no part of it; pieces add up to the whole", async () => {
  const model = fixturePath("llama3/policy");
  const prompt = "What does the captain say?";
  const full = (await generate({ model, prompt, max_new_tokens: 20 })).rows[0]!;
  const cut = full.completion.length >> 1;
  const stop = full.completion.slice(cut, cut + 3);
  const { rows: [row] } = await generate({ model, prompt, max_new_tokens: 20, stop: ["never said", stop] });
  assertEquals(row!.completion, full.completion.slice(0, full.completion.indexOf(stop)));
  assertEquals(row!.finish_reason, "stop");
  // the tokens reach exactly as far as the stop text
  assertEquals(full.tokens.slice(0, row!.tokens.length), row!.tokens);
  const tokenizer = await loadTokenizer(model);
  const text = (count: number) => tokenizer.decode(full.tokens.slice(0, count), { skipSpecialTokens: true });
  assert(text(row!.tokens.length).includes(stop) && !text(row!.tokens.length - 1).includes(stop));
  const chat = await openChat({ model, max_new_tokens: 20 });
  try {
    const pieces: string[] = [];
    const said = await chat.say(prompt, (piece) => pieces.push(piece));
    const { rows: [once] } = await generate({ model, prompt, chat: true, max_new_tokens: 20 });
    assertEquals(said, once!.completion);
    assert(pieces.length > 1);
    assertEquals(pieces.join(""), said);
  } finally {
    chat.close();
  }
});
