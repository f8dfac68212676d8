/** GGUF files: hostile heads, configurations, names and order of rows, tokenizers. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import { readGgufHeader } from "../../lib/formats/gguf/header.ts";
import { openGguf } from "../../lib/formats/gguf/model.ts";
import { unpermute } from "../../lib/formats/gguf/rows.ts";
import { ggufTokenizer } from "../../lib/formats/gguf/tokenizer.ts";
import { openFile } from "../../lib/io/files.ts";
import { inTempDir } from "../temp_dir.ts";
import {
  f32,
  flag,
  ggufBytes,
  type GgufFile,
  list,
  type Tensor,
  text,
  u32,
  type Value,
} from "./gguf_file.ts";

const [D, F, V] = [8, 12, 6];

/** A float32 tensor whose values tell where they are from. */
function tensor(name: string, ...shape: number[]): Tensor {
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => i);
  return { name, type: 0, shape, bytes: new Uint8Array(values.buffer) };
}

/** A llama of one layer: two heads of four. */
const llama: GgufFile = {
  metadata: [
    ["general.architecture", text("llama")],
    ["llama.block_count", u32(1)],
    ["llama.context_length", u32(64)],
    ["llama.embedding_length", u32(D)],
    ["llama.feed_forward_length", u32(F)],
    ["llama.attention.head_count", u32(2)],
    ["llama.attention.head_count_kv", u32(1)],
    ["llama.attention.layer_norm_rms_epsilon", f32(1e-5)],
    ["llama.rope.freq_base", f32(500000)],
    ["tokenizer.ggml.eos_token_id", u32(2)],
  ],
  tensors: [
    tensor("token_embd.weight", V, D),
    tensor("blk.0.attn_norm.weight", D),
    tensor("blk.0.attn_q.weight", D, D),
    tensor("blk.0.attn_k.weight", 4, D),
    tensor("blk.0.attn_v.weight", 4, D),
    tensor("blk.0.attn_output.weight", D, D),
    tensor("blk.0.ffn_norm.weight", D),
    tensor("blk.0.ffn_gate.weight", F, D),
    tensor("blk.0.ffn_up.weight", F, D),
    tensor("blk.0.ffn_down.weight", D, F),
    tensor("output_norm.weight", D),
  ],
};

function withMetadata(changes: Readonly<Record<string, Value | undefined>>): GgufFile {
  const kept = llama.metadata.filter(([key]) => !(key in changes));
  const added = Object.entries(changes).filter((entry): entry is [string, Value] => entry[1] !== undefined);
  return { ...llama, metadata: [...kept, ...added] };
}

async function withFile<T>(file: GgufFile | Uint8Array, work: (path: string) => Promise<T>): Promise<T> {
  return await inTempDir(async (folder) => {
    const path = `${folder}/model.gguf`;
    await Deno.writeFile(path, file instanceof Uint8Array ? file : ggufBytes(file));
    return await work(path);
  });
}

/** The message of the InputError with which a file is refused. */
async function refusal(file: GgufFile | Uint8Array): Promise<string> {
  return await withFile(file, async (path) => {
    const { message } = await assertRejects(async () => (await openGguf(path)).close(), InputError);
    assertStringIncludes(message, path);
    assertEquals(message.includes("\n"), false);
    return message;
  });
}

Deno.test("gguf: configuration, names and shapes are Hugging Face's", async () => {
  await withFile(llama, async (path) => {
    const model = await openGguf(path);
    const { config, tensors } = model;
    assertEquals(config.architectures, ["LlamaForCausalLM"]);
    assertEquals([config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads], [
      1,
      2,
      1,
    ]);
    assertEquals([config.head_dim, config.vocab_size, config.rms_norm_eps], [4, V, 1e-5]);
    assertEquals([config.tie_word_embeddings, config.eos_token_id, config.rope_theta], [true, 2, 500000]);
    assertEquals(tensors.get("model.layers.0.mlp.down_proj.weight")?.shape, [D, F]);
    assertEquals(tensors.get("model.embed_tokens.weight")?.shape, [V, D]);
    assertEquals(tensors.size, llama.tensors.length);
    // of a head of four rows, ggml has 0 and 2, then 1 and 3 of what Transformers has, side by side
    const rows = async (name: string) => {
      const values = await model.read(`model.layers.0.self_attn.${name}.weight`);
      return [...values].filter((_, i) => i % D === 0).map((first) => first / D);
    };
    assertEquals(await rows("q_proj"), [0, 2, 1, 3, 4, 6, 5, 7]);
    assertEquals(await rows("k_proj"), [0, 2, 1, 3]);
    assertEquals(await rows("v_proj"), [0, 1, 2, 3]);
    model.close();
  });
  assertEquals(
    unpermute(Float32Array.of(0, 1, 2, 3, 4, 5), { heads: 1, rows: 6 }),
    Float32Array.of(0, 2, 4, 1, 3, 5),
  );
});

Deno.test("gguf: Llama 3's scaled frequencies are known by their factors", async () => {
  const K = 128;
  const factors = (factor: number, low = 1) =>
    Float32Array.from({ length: K / 2 }, (_, i) => {
      const ratio = 8192 / (2 * Math.PI * 500000 ** (2 * i / K));
      const share = (ratio - low) / (4 - low);
      return share >= 1 ? 1 : share <= 0 ? factor : 1 / ((1 - share) / factor + share);
    });
  const file = (values: Float32Array): GgufFile => ({
    ...withMetadata({ "llama.attention.key_length": u32(K) }),
    tensors: [{ name: "rope_freqs.weight", type: 0, shape: [K / 2], bytes: new Uint8Array(values.buffer) }],
  });
  for (const factor of [8, 32, 5]) {
    await withFile(file(factors(factor)), async (path) => {
      const { config, close } = await openGguf(path);
      assertEquals((config.rope_scaling as { factor: number }).factor, factor);
      close();
    });
  }
  assertStringIncludes(await refusal(file(factors(8, 2))), "rope_freqs");
});

Deno.test("gguf: hostile and damaged heads are refused before anything is built from them", async () => {
  const whole = ggufBytes(llama);
  for (const length of [0, 3, 8, 20, 60, 200, whole.length - 1]) {
    assertStringIncludes(await refusal(whole.subarray(0, length)), "not a whole GGUF file");
  }
  const huge = 2n ** 60n;
  const first = llama.tensors[0]!;
  const cases: [string, GgufFile][] = [
    ["begin with GGUF", { ...llama, magic: "GGML" }],
    ["its version is 1", { ...llama, version: 1 }],
    ["big-endian", { ...llama, version: 0x03000000 }],
    ["the count of tensors is", { ...llama, tensorCount: huge }],
    ["the count of metadata keys is", { ...llama, keyCount: huge }],
    ["the count of metadata keys is", { ...llama, keyCount: 2n ** 40n }],
    ["stands twice", { ...llama, metadata: [...llama.metadata, llama.metadata[0]!] }],
    ["the unknown type 77", withMetadata({ odd: { type: 77, value: 1 } })],
    ["the length of odd is", withMetadata({ odd: { type: 9, itemType: 4, items: [], count: huge } })],
    ["alignment", withMetadata({ "general.alignment": u32(24) })],
    ["stands twice", { ...llama, tensors: [first, first] }],
    ["has the unknown type 99", { ...llama, tensors: [{ ...first, type: 99 }] }],
    ["0 dimensions", { ...llama, tensors: [{ ...first, shape: [] }] }],
    ["has the shape", { ...llama, tensors: [{ ...first, shape: [2 ** 30, 2 ** 30] }] }],
    ["no multiple of Q4_0's blocks", { ...llama, tensors: [{ ...first, type: 2 }] }],
    ["the file has", { ...llama, tensors: [{ ...first, offset: 1n << 40n }] }],
    ["no multiple of 32", { ...llama, tensors: [{ ...first, offset: 8n }] }],
    ["overlap", { ...llama, tensors: [first, { ...first, name: "output.weight", offset: 0n }] }],
    ["the dimensions", { ...llama, tensors: [{ ...first, shape: [1, 1, 1, 1, 1] }] }],
  ];
  for (const [wanted, file] of cases) {
    const message = await refusal(file);
    assert(
      message.includes(wanted) || wanted === "the dimensions" && message.includes("5 dimensions"),
      message,
    );
  }
});

Deno.test("gguf: what is not supported is named", async () => {
  const odd = (name: string) => ({ ...llama, tensors: [...llama.tensors, tensor(name, 4)] });
  assertStringIncludes(
    await refusal(withMetadata({ "general.architecture": text("mamba") })),
    "mamba; supported are",
  );
  assertStringIncludes(await refusal(withMetadata({ "llama.expert_count": u32(8) })), "mixture of experts");
  assertStringIncludes(
    await refusal(withMetadata({ "llama.rope.dimension_count": u32(2) })),
    "2 of a head's 4",
  );
  assertStringIncludes(
    await refusal(withMetadata({ "llama.block_count": undefined })),
    "no llama.block_count",
  );
  assertStringIncludes(await refusal(odd("blk.0.ffn_exotic.weight")), "blk.0.ffn_exotic.weight");
  const iq: Tensor = { name: "token_embd.weight", type: 20, shape: [1, 32], bytes: new Uint8Array(18) };
  await withFile({ ...llama, tensors: [iq] }, async (path) => {
    const model = await openGguf(path);
    const error = await assertRejects(() => model.read("model.embed_tokens.weight"), InputError);
    assertStringIncludes(error.message, "stored as IQ4_NL");
    model.close();
  });
});

Deno.test("gguf: tokenizers by kind and pre-tokenizer; others by name", async () => {
  const kinds = list([3, 1, 1, 1, 4].map((value) => ({ type: 5, value })));
  const bpe = {
    "tokenizer.ggml.model": text("gpt2"),
    "tokenizer.ggml.pre": text("llama-bpe"),
    "tokenizer.ggml.tokens": list(["<s>", "a", "b", "ab", "<tool>"].map(text)),
    "tokenizer.ggml.token_type": kinds,
    "tokenizer.ggml.merges": list([text("a b")]),
    "tokenizer.ggml.bos_token_id": u32(0),
    "tokenizer.ggml.eos_token_id": u32(1),
    "tokenizer.chat_template": text("{{ messages }}"),
  };
  const files = async (changes: Readonly<Record<string, Value | undefined>>) =>
    await withFile(withMetadata({ ...bpe, ...changes }), async (path) => {
      const file = await openFile(path, "a GGUF file");
      const header = await readGgufHeader(file);
      file.close();
      return ggufTokenizer(path, header);
    });
  const { definition, config } = await files({});
  // deno-lint-ignore no-explicit-any -- a file's JSON
  const { model, added_tokens: added, post_processor: post } = definition as any;
  assertEquals([model.type, model.ignore_merges, { ...model.vocab }], ["BPE", true, {
    "<s>": 0,
    a: 1,
    b: 2,
    ab: 3,
    "<tool>": 4,
  }]);
  assertEquals(added.map(({ content, special }: Record<string, unknown>) => [content, special]), [
    ["<s>", true],
    ["<tool>", false],
  ]);
  assertEquals([post.single[0].SpecialToken.id, config.add_bos_token, config.chat_template], [
    "<s>",
    true,
    "{{ messages }}",
  ]);
  // SentencePiece: merges by score, the better first
  const scores = list([0, -1, -2, -3, -4].map(f32));
  const piece = await files({
    "tokenizer.ggml.model": text("llama"),
    "tokenizer.ggml.scores": scores,
    "tokenizer.ggml.tokens": list(["<unk>", "a", "ab", "b", "aba"].map(text)),
    "tokenizer.ggml.add_space_prefix": flag(false),
  });
  // deno-lint-ignore no-explicit-any -- a file's JSON
  const { model: bytes, normalizer } = piece.definition as any;
  assertEquals([bytes.byte_fallback, bytes.merges], [true, [["a", "b"], ["ab", "a"]]]);
  assertEquals(normalizer.type, "Replace");
  const unknown = (changes: Readonly<Record<string, Value | undefined>>, part: string) =>
    assertRejects(() => files(changes), InputError, part);
  await unknown({ "tokenizer.ggml.pre": text("mystery") }, "is mystery; known are");
  await unknown({ "tokenizer.ggml.model": text("rwkv") }, "of the kind rwkv");
  await unknown({ "tokenizer.ggml.bos_token_id": u32(9) }, "bos_token_id is 9");
  await unknown({ "tokenizer.ggml.tokens": undefined }, "holds no tokenizer");
});
