/** Models in ggml's blocks, from a GGUF file or quantised on the way: what they compute is what their values say. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { score } from "../../lib/commands/score.ts";
import { train } from "../../lib/commands/train.ts";
import { InputError } from "../../lib/errors.ts";
import { encodeFloats } from "../../lib/formats/dtype.ts";
import { dequantize } from "../../lib/formats/gguf/dequantize.ts";
import { openGguf } from "../../lib/formats/gguf/model.ts";
import { quantizeQ4_0, quantizeQ8_0 } from "../../lib/formats/gguf/quantize.ts";
import { toQ4_1 } from "../../lib/formats/gguf/transcode.ts";
import { GGML_TYPES } from "../../lib/formats/gguf/types.ts";
import { writeModelDirectory } from "../../lib/formats/huggingface.ts";
import { readTokenizerFiles } from "../../lib/formats/model_files.ts";
import { randomNormal } from "../cases/random.ts";
import { f32, flag, ggufBytes, list, type Tensor, text, u32 } from "../formats/gguf_file.ts";
import { fixtureJson, fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

const [L, D, F, V, HEADS, GROUPS, K] = [2, 64, 96, 384, 2, 1, 32];

const SHAPES: [ours: string, ggml: string, shape: number[]][] = [
  ["model.embed_tokens.weight", "token_embd.weight", [V, D]],
  ...Array.from({ length: L }, (_, i): [string, string, number[]][] =>
    ([
      ["input_layernorm", "attn_norm", [D]],
      ["self_attn.q_proj", "attn_q", [HEADS * K, D]],
      ["self_attn.k_proj", "attn_k", [GROUPS * K, D]],
      ["self_attn.v_proj", "attn_v", [GROUPS * K, D]],
      ["self_attn.o_proj", "attn_output", [D, HEADS * K]],
      ["post_attention_layernorm", "ffn_norm", [D]],
      ["mlp.gate_proj", "ffn_gate", [F, D]],
      ["mlp.up_proj", "ffn_up", [F, D]],
      ["mlp.down_proj", "ffn_down", [D, F]],
    ] as const).map(([ours, ggml, shape]) => [
      `model.layers.${i}.${ours}.weight`,
      `blk.${i}.${ggml}.weight`,
      [...shape],
    ])).flat(),
  ["model.norm.weight", "output_norm.weight", [D]],
  ["lm_head.weight", "output.weight", [V, D]],
];

/** How a file of llama.cpp's may mix its types. */
const TYPES: Readonly<Record<string, string>> = {
  token_embd: "Q8_0",
  attn_q: "Q4_1",
  attn_k: "Q4_1",
  attn_v: "Q4_1",
  attn_output: "Q4_0",
  ffn_gate: "Q4_0",
  ffn_up: "Q4_0",
  ffn_down: "Q8_0",
  output: "F16",
};

const ENCODERS: Readonly<Record<string, (values: Float32Array<ArrayBuffer>) => Uint8Array>> = {
  F32: (values) => new Uint8Array(values.buffer),
  F16: (values) => encodeFloats(values, "F16"),
  Q8_0: quantizeQ8_0,
  Q4_0: quantizeQ4_0,
  Q4_1: (values) => toQ4_1(quantizeQ4_0(values), "Q4_0"),
};

/** ggml's order of a head's rows: the row s·K/2 + i at 2i + s. */
function permute(values: Float32Array<ArrayBuffer>, heads: number): Float32Array<ArrayBuffer> {
  const out = values.slice();
  for (let head = 0; head < heads; head++) {
    for (let row = 0; row < K; row++) {
      const to = head * K + 2 * (row % (K / 2)) + Math.floor(row / (K / 2));
      out.set(values.subarray((head * K + row) * D, (head * K + row + 1) * D), to * D);
    }
  }
  return out;
}

const typeNumber = (name: string) => [...GGML_TYPES].find(([, type]) => type.name === name)![0];

/** The model as a GGUF file, under the tokenizer of a fixture. */
async function writeGguf(path: string): Promise<void> {
  const { model, added_tokens: added } = await fixtureJson<{
    model: { vocab: Record<string, number>; merges: ([string, string] | string)[] };
    added_tokens: { id: number }[];
  }>("llama/policy/tokenizer.json");
  const tokens = Object.entries(model.vocab).sort(([, a], [, b]) => a - b).map(([token]) => token);
  const special = new Set(added.map(({ id }) => id));
  const tensors = SHAPES.map(([, name, shape], i): Tensor => {
    const kind = name.split(".").at(-2)!;
    const type = TYPES[kind] ?? "F32";
    const size = shape.reduce((a, b) => a * b);
    const drawn = randomNormal(size, i + 1, shape.length === 1 ? 0.1 : 0.2);
    const values = shape.length === 1 ? drawn.map((x) => 1 + x) : drawn;
    const rows = kind === "attn_q"
      ? permute(values, HEADS)
      : kind === "attn_k"
      ? permute(values, GROUPS)
      : values;
    return { name, shape, type: typeNumber(type), bytes: ENCODERS[type]!(rows) };
  });
  await Deno.writeFile(
    path,
    ggufBytes({
      metadata: [
        ["general.architecture", text("llama")],
        ["llama.block_count", u32(L)],
        ["llama.context_length", u32(256)],
        ["llama.embedding_length", u32(D)],
        ["llama.feed_forward_length", u32(F)],
        ["llama.attention.head_count", u32(HEADS)],
        ["llama.attention.head_count_kv", u32(GROUPS)],
        ["llama.attention.layer_norm_rms_epsilon", f32(1e-5)],
        ["tokenizer.ggml.model", text("gpt2")],
        ["tokenizer.ggml.pre", text("gpt-2")],
        ["tokenizer.ggml.tokens", list(tokens.map(text))],
        [
          "tokenizer.ggml.token_type",
          list(tokens.map((_, id) => ({ type: 5, value: special.has(id) ? 3 : 1 }))),
        ],
        ["tokenizer.ggml.merges", list(model.merges.map((merge) => text([merge].flat().join(" "))))],
        ["tokenizer.ggml.bos_token_id", u32(0)],
        ["tokenizer.ggml.eos_token_id", u32(1)],
        ["tokenizer.ggml.add_bos_token", flag(true)],
      ],
      tensors,
    }),
  );
}

/** The same values in float32, as Transformers would have them. */
async function writeWide(path: string, gguf: string): Promise<void> {
  const model = await openGguf(gguf);
  await writeModelDirectory(path, {
    config: model.config,
    dtype: "F32",
    tensors: [...model.tensors].map(([name, { shape }]) => ({ name, shape, data: () => model.read(name) })),
    tokenizerFiles: await readTokenizerFiles(fixturePath("llama/policy")),
  });
  model.close();
}

const data = fixturePath("llama/pairs.jsonl");
const lora = {
  data,
  loss_type: "dpo",
  lora_r: 3,
  max_steps: 3,
  batch_size: 4,
  learning_rate: 1e-3,
  tune: false,
} as const;

Deno.test("a GGUF file scores and trains as its values in float32 do, and its adapter names it", async () => {
  await inTempDir(async (dir) => {
    const [gguf, wide] = [`${dir}/model.gguf`, `${dir}/wide`];
    await writeGguf(gguf);
    await writeWide(wide, gguf);
    const [blocks, floats] = [await score({ model: gguf, data }), await score({ model: wide, data })];
    assertEquals(blocks.rows.length, floats.rows.length);
    blocks.rows.forEach((row, i) => {
      const [found, wanted] = [row.chosen!, floats.rows[i]!.chosen!];
      assertEquals(found.tokens, wanted.tokens, "another tokenizer");
      assertAlmostEquals(found.logp / wanted.logp, 1, 2e-6);
    });
    const notices: string[] = [];
    const stored = await train({ ...lora, model: gguf, output_dir: `${dir}/stored` }, {
      onEvent: (event) => event.type === "notice" && notices.push(event.text),
    });
    const same = await train({ ...lora, model: wide, base_dtype: "f32", output_dir: `${dir}/same` });
    stored.metrics.forEach((row, i) => {
      for (const key of ["loss", "grad_norm", "rewards/margins"]) {
        assertAlmostEquals(row[key]!, same.metrics[i]![key]!, 1e-4 * Math.max(1, Math.abs(row[key]!)), key);
      }
    });
    assert(!notices.some((notice) => notice.includes("nearest format")), "nothing here needs converting");
    const config = JSON.parse(await Deno.readTextFile(`${stored.modelDir}/adapter_config.json`));
    assertStringIncludes(config.base_model_name_or_path, "model.gguf");
    const adapted = await score({ model: stored.modelDir, data });
    assert(
      Math.abs(adapted.rows[0]!.chosen!.logp - blocks.rows[0]!.chosen!.logp) > 1e-3,
      "the adapter is not on",
    );
  });
});

Deno.test("a base quantised on the way computes what its blocks stand for; odd widths are refused", async () => {
  await inTempDir(async (dir) => {
    const [gguf, wide] = [`${dir}/model.gguf`, `${dir}/wide`];
    await writeGguf(gguf);
    await writeWide(wide, gguf);
    let runs = 0;
    for (const base_dtype of ["q8_0", "q4_0"] as const) {
      const model = await openGguf(gguf);
      const rounded = async (name: string, shape: readonly number[]) => {
        const values = await model.read(name);
        if (shape.length === 1) return values;
        dequantize(
          base_dtype === "q8_0" ? quantizeQ8_0(values) : quantizeQ4_0(values),
          base_dtype.toUpperCase(),
          values,
        );
        return values;
      };
      const explicit = `${dir}/explicit-${base_dtype}`;
      await writeModelDirectory(explicit, {
        config: model.config,
        dtype: "F32",
        tensors: [...model.tensors].map(([name, { shape }]) => ({
          name,
          shape,
          data: () => rounded(name, shape),
        })),
        tokenizerFiles: await readTokenizerFiles(fixturePath("llama/policy")),
      });
      model.close();
      const run = (model: string, base_dtype: "f32" | "q8_0" | "q4_0") =>
        train({ ...lora, model, base_dtype, output_dir: `${dir}/run-${++runs}` });
      const [found, wanted] = [await run(wide, base_dtype), await run(explicit, "f32")];
      found.metrics.forEach((row, i) => {
        assertAlmostEquals(row.loss!, wanted.metrics[i]!.loss!, 1e-4);
        assertAlmostEquals(row.grad_norm! / wanted.metrics[i]!.grad_norm!, 1, 1e-4);
      });
    }
    const odd = {
      ...lora,
      model: fixturePath("llama/policy"),
      base_dtype: "q8_0" as const,
      output_dir: `${dir}/odd`,
    };
    await assertRejects(
      () => train(odd),
      InputError,
      "have 40 values, no multiple of the format's blocks of 32",
    );
  });
});

Deno.test("q4_1 from Q4_0 is exact, from Q4_K but for the scales' rounding", async () => {
  const { dequantize: golden } = await fixtureJson<{
    dequantize: Record<string, { bytes: string; values: string }>;
  }>("gguf/types.json");
  const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  for (const [type, tolerance] of [["Q4_0", 0], ["Q4_K", 2 ** -11]] as const) {
    const wanted = new Float32Array(bytesOf(golden[type]!.values).buffer);
    const found = new Float32Array(wanted.length);
    dequantize(toQ4_1(bytesOf(golden[type]!.bytes), type), "Q4_1", found);
    // of a block: 15 steps of its scale, and its minimum, each rounded by half a unit of f16's last place
    const size = wanted.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    found.forEach((x, i) => assertAlmostEquals(x, wanted[i]!, 2 * tolerance * size));
    if (tolerance === 0) assertEquals(found, wanted);
  }
});
