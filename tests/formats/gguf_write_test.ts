/** Models written as GGUF files: what is read from them again is what was written, and what has no form there is refused. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { exportModel, type ExportOptions } from "../../lib/commands/export.ts";
import { score } from "../../lib/commands/score.ts";
import { InputError } from "../../lib/errors.ts";
import type { TrainEvent } from "../../lib/events.ts";
import { decodeFloats, encodeFloats } from "../../lib/formats/dtype.ts";
import { encodeWeights } from "../../lib/formats/encode.ts";
import { dequantize } from "../../lib/formats/gguf/dequantize.ts";
import { openGguf, readGgufHead } from "../../lib/formats/gguf/model.ts";
import { quantizeQ4_0, quantizeQ8_0 } from "../../lib/formats/gguf/quantize.ts";
import { openModelFiles } from "../../lib/formats/model_files.ts";
import { parseModelConfig } from "../../lib/model/families/mod.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";
import { assertSameModel, copyWith, weightsOf, writeMistral } from "./gguf_models.ts";

const WORLD = decodeURIComponent(new URL("../../examples/world/model", import.meta.url).pathname);

for (const name of ["llama", "llama3", "qwen2", "mistral"]) {
  Deno.test(`gguf: ${name} comes back bit for bit, with the same ids and scores`, () =>
    inTempDir(async (dir) => {
      const model = name === "mistral" ? `${dir}/model` : fixturePath(`${name}/policy`);
      if (name === "mistral") await writeMistral(model);
      const file = `${dir}/${name}.gguf`;
      assertEquals(await exportModel({ model, format: "gguf", output: file }), file);
      await assertSameModel(model, file);
      const [own, read] = [await openModelFiles(model), await openGguf(file)];
      const described = [own, read].map(({ config }) => {
        const { architecture: _, model_type: __, raw: ___, eos_token_ids, ...rest } = parseModelConfig(
          { ...config },
          name,
        );
        return { ...rest, ends: [...eos_token_ids] };
      });
      assertEquals(described[1], described[0]);
      const data = fixturePath(`${name}/pairs.jsonl`);
      const [a, b] = await Promise.all([model, file].map((path) => score({ model: path, data })));
      assertEquals(b.rows, a.rows);
    }));
}

Deno.test("gguf: number formats of matrices, norms in float32; blocks and tokenizer of a file go into another as they are", () =>
  inTempDir(async (dir) => {
    const own = await weightsOf(WORLD);
    const matrix = "model.layers.1.mlp.down_proj.weight", keys = "model.layers.0.self_attn.k_proj.weight";
    const rounded = (dtype: string, values: Float32Array<ArrayBuffer>) => {
      const out = new Float32Array(values.length);
      if (dtype === "f16" || dtype === "bf16") {
        const type = dtype === "f16" ? "F16" : "BF16";
        decodeFloats(encodeFloats(values, type), type, out);
      } else dequantize((dtype === "q8_0" ? quantizeQ8_0 : quantizeQ4_0)(values), dtype.toUpperCase(), out);
      return out;
    };
    for (const dtype of ["f16", "bf16", "q8_0", "q4_0"] as const) {
      const folder = `${dir}/${dtype}`;
      const file = await exportModel({ model: WORLD, format: "gguf", dtype, output: folder });
      assertEquals(file, `${folder}/model.gguf`);
      const { tensors, metadata } = await readGgufHead(file);
      for (const [name, { type }] of tensors) {
        assertEquals(type.name, name.includes("norm") ? "F32" : dtype.toUpperCase(), name);
      }
      assertEquals(metadata.get("general.file_type"), { f16: 1, bf16: 32, q8_0: 7, q4_0: 2 }[dtype]);
      const read = await weightsOf(file);
      for (const name of [matrix, keys]) assertEquals(read.get(name), rounded(dtype, own.get(name)!), name);
      // written once more, the bytes of the tensors and the tokenizer are the same
      const again = await exportModel({
        model: file,
        format: "gguf",
        dtype,
        output: `${dir}/${dtype}2.gguf`,
      });
      const [first, second] = await Promise.all([file, again].map((path) => Deno.readFile(path)));
      const begin = Math.min(...[...tensors.values()].map(({ byteOffset }) => byteOffset));
      const head = await readGgufHead(again);
      const begins = Math.min(...[...head.tensors.values()].map(({ byteOffset }) => byteOffset));
      assertEquals(second!.subarray(begins), first!.subarray(begin));
      const tokenizer = (values: typeof metadata) =>
        [...values].filter(([key]) => key.startsWith("tokenizer."));
      assertEquals(tokenizer(head.metadata), tokenizer(metadata));
    }
  }));

Deno.test("gguf: an adapter is merged as for Transformers", () =>
  inTempDir(async (dir) => {
    const model = fixturePath("llama/adapter"), base = fixturePath("llama/policy");
    const common = { model: base, adapter: model };
    const merged = await exportModel({ ...common, output: `${dir}/merged` });
    const file = await exportModel({ ...common, format: "gguf", output: `${dir}/merged.gguf` });
    await assertSameModel(merged, file);
    const [before, after] = [await weightsOf(base), await weightsOf(file)];
    const name = "model.layers.0.self_attn.q_proj.weight";
    assert(before.get(name)!.some((value, i) => value !== after.get(name)![i]));
  }));

Deno.test("gguf: a window becomes the context, more rows than tokens are padded, ends are kept", () =>
  inTempDir(async (dir) => {
    const windowed = `${dir}/windowed`;
    await writeMistral(`${dir}/mistral`);
    await copyWith(
      `${dir}/mistral`,
      windowed,
      (name, json) =>
        name !== "config.json"
          ? json
          : JSON.stringify({ ...JSON.parse(json), sliding_window: 9, eos_token_id: [7, 2, 8] }),
    );
    const notices: string[] = [];
    const onEvent = (event: TrainEvent) => event.type === "notice" && notices.push(event.text);
    const file = await exportModel({ model: windowed, format: "gguf", output: `${dir}/w.gguf` }, {
      onEvent: (event) => void onEvent(event),
    });
    assertStringIncludes(notices.join("\n"), "context_length is 9");
    const { config, close } = await openGguf(file);
    close();
    assertEquals([config.max_position_embeddings, config.sliding_window], [9, undefined]);
    assertEquals(config.eos_token_id, [2, 7, 8]);
    // qwen2's fixture has 384 tokens and 397 rows
    const qwen = await exportModel({
      model: fixturePath("qwen2/policy"),
      format: "gguf",
      output: `${dir}/q.gguf`,
    });
    const { metadata } = await readGgufHead(qwen);
    const [tokens, kinds] = ["tokens", "token_type"].map((key) =>
      metadata.get(`tokenizer.ggml.${key}`) as (string | number)[]
    );
    assertEquals([tokens!.length, tokens![384], kinds![384], kinds![383], kinds![0]], [
      397,
      "[PAD384]",
      5,
      1,
      3,
    ]);
  }));

Deno.test("gguf: what has no form there is refused by name, and nothing is written", () =>
  inTempDir(async (dir) => {
    const llama = fixturePath("llama/policy");
    let count = 0;
    const refused = async (part: string, options: Partial<ExportOptions>) => {
      const output = `${dir}/out.gguf`;
      const given = { model: llama, format: "gguf", output, ...options } as const;
      const { message } = await assertRejects(() => exportModel(given), InputError);
      assertStringIncludes(message, part);
      assertEquals([...Deno.readDirSync(dir)].filter(({ name }) => name.includes("out")), []);
    };
    const changed = async (change: (tokenizer: Record<string, Record<string, unknown>>) => void) => {
      const model = `${dir}/model${count++}`;
      await copyWith(llama, model, (name, json) => {
        const value = JSON.parse(json);
        if (name === "tokenizer.json") change(value);
        return JSON.stringify(value);
      });
      return { model };
    };
    await refused("rows of 40 values", { dtype: "q8_0" });
    await refused("no scores give this tokenizer's merges", { model: fixturePath("mistral/policy") });
    await refused("Set format gguf", { format: "huggingface", dtype: "q4_0", output: `${dir}/out` });
    await refused(
      "has no name of those known here: gpt-2",
      await changed((value) => value.pre_tokenizer!.add_prefix_space = true),
    );
    await refused("in a way that has no name", await changed((value) => value.model!.ignore_merges = true));
    await refused(
      "has lstrip, which GGUF has not",
      await changed((value) => (value.added_tokens as unknown as { lstrip: boolean }[])[4]!.lstrip = true),
    );
    await refused(
      "its model is Unigram",
      await changed((value) =>
        Object.assign(value, {
          model: { type: "Unigram", unk_id: 0, byte_fallback: false, vocab: [["<unk>", 0], ["a", -1]] },
          added_tokens: [],
          post_processor: null,
        })
      ),
    );
    const qwen = `${dir}/qwen`;
    await copyWith(fixturePath("qwen2/policy"), qwen, (name, json) => {
      if (name !== "config.json") return json;
      const { rope_parameters: _, ...rest } = JSON.parse(json);
      const rope = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
      return JSON.stringify({ ...rest, rope_scaling: rope });
    });
    await refused("for llama alone, not for qwen2", { model: qwen });
    const there = `${dir}/there.gguf`;
    await Deno.writeTextFile(there, "mine");
    const again = () => exportModel({ model: llama, format: "gguf", output: there });
    await assertRejects(again, InputError, "exists already");
    assertEquals(await Deno.readTextFile(there), "mine");
    // beyond what a block's float16 scale takes
    for (const [type, value] of [["Q8_0", 9e6], ["Q4_0", 6e5], ["F16", 7e4]] as const) {
      const values = new Float32Array(32).fill(1);
      values[5] = value;
      const error = assertThrown(() => encodeWeights(values, type, "w"));
      assertStringIncludes(error.message, `w as ${type}: its element 5 is ${value}`);
    }
  }));

function assertThrown(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    assert(error instanceof InputError);
    return error;
  }
  throw new Error("nothing was thrown");
}
