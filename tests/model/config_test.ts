import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import { inverseFrequencies } from "../../lib/model/config.ts";
import { parseModelConfig } from "../../lib/model/families/mod.ts";
import { paramSpecs } from "../../lib/model/table.ts";
import { fixtureJson, fixtureNames, fixtureWeights } from "../reference/fixture.ts";

const llama = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 48,
  intermediate_size: 80,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 100,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 64,
};
const groups = { num_key_value_heads: 2 };
const qwen2 = { ...llama, ...groups, architectures: ["Qwen2ForCausalLM"], model_type: "qwen2" };
const mistral = { ...llama, ...groups, architectures: ["MistralForCausalLM"], model_type: "mistral" };
const parse = (over: Record<string, unknown>, base: Record<string, unknown> = llama) =>
  parseModelConfig({ ...base, ...over }, "config.json");

for (const name of fixtureNames) {
  Deno.test(`model config: ${name} has just the parameters that its files hold`, async () => {
    const config = parseModelConfig(
      await fixtureJson<Record<string, unknown>>(`${name}/policy/config.json`),
      name,
    );
    const specs = paramSpecs(config), weights = await fixtureWeights(`${name}/policy`);
    assertEquals(specs.map(({ name }) => name).sort(), [...weights.keys()].sort());
    for (const { name, shape } of specs) {
      assertEquals(shape.reduce((a, b) => a * b), weights.get(name)!.length, name);
    }
    for (const { name, kind } of specs) {
      assertEquals(kind === "norm", name.includes("norm"), name);
      assertEquals(kind === "bias", name.endsWith(".bias"), name);
    }
  });
}

Deno.test("model config: what the fixtures' files say, as Transformers 4 and 5 write it", async () => {
  const read = async (name: string) =>
    parseModelConfig(await fixtureJson<Record<string, unknown>>(`${name}/policy/config.json`), name);
  const [one, two, three, four] = await Promise.all(fixtureNames.map(read));
  assertEquals([one.head_dim, one.num_key_value_heads, one.sliding_window, one.rope.rope_theta], [
    10,
    2,
    null,
    1e4,
  ]);
  assertEquals([two.sliding_window, two.attention_bias, two.eos_token_ids, two.bos_token_id], [
    9,
    false,
    [2],
    1,
  ]);
  assertEquals(three.rope, {
    rope_type: "llama3",
    rope_theta: 500000,
    factor: 4,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 48,
  });
  assertEquals([four.head_dim, four.attention_bias, four.tie_word_embeddings, four.bos_token_id], [
    8,
    true,
    true,
    null,
  ]);
  assertEquals([four.rope.rope_type, four.rope.rope_theta, four.sliding_window], ["default", 1e6, null]);
});

Deno.test("model config: defaults, null and alternative spellings", () => {
  const config = parse({ head_dim: null, eos_token_id: [1, 2], rope_scaling: null });
  assertEquals([config.num_key_value_heads, config.head_dim, config.rope.rope_theta], [4, 12, 10000]);
  assertEquals([config.tie_word_embeddings, config.bos_token_id, config.eos_token_ids], [false, 1, [1, 2]]);
  const { architectures: _, ...unnamed } = qwen2;
  assertEquals(parse({}, unnamed).architecture, "Qwen2ForCausalLM");
  const scaling = {
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 32,
  };
  const before = parse({ rope_theta: 5e5, rope_scaling: { type: "llama3", ...scaling } });
  const after = parse({ rope_parameters: { rope_type: "llama3", rope_theta: 5e5, ...scaling } });
  assertEquals(before.rope, after.rope);
});

Deno.test("model config: the sliding window follows the family's own rules", () => {
  assertEquals(parse({ sliding_window: 7 }).sliding_window, null); // Llama has none
  assertEquals(parse({ sliding_window: 7 }, mistral).sliding_window, 7);
  assertEquals(parse({ sliding_window: null }, mistral).sliding_window, null);
  assertEquals(parse({}, mistral).sliding_window, 4096); // as Transformers' MistralConfig
  const using = (over: Record<string, unknown>) =>
    parse({ sliding_window: 7, use_sliding_window: true, ...over }, qwen2).sliding_window;
  assertEquals(using({ use_sliding_window: false }), null);
  assertEquals(using({ max_window_layers: 2 }), null); // windowed from the third of two layers on
  assertEquals(using({ max_window_layers: 0 }), 7);
  assertEquals(using({ layer_types: ["sliding_attention", "sliding_attention"], max_window_layers: 1 }), 7);
  assertEquals(using({ layer_types: ["full_attention", "full_attention"] }), null);
  assertThrows(() => using({ max_window_layers: 1 }), InputError, "max_window_layers is 1");
  assertThrows(
    () => using({ layer_types: ["full_attention", "sliding_attention"] }),
    InputError,
    "layer_types is",
  );
});

Deno.test("model config: what is not supported is refused by name", () => {
  const refused: [Record<string, unknown>, string, Record<string, unknown>?][] = [
    [
      { architectures: ["GPT2LMHeadModel"], model_type: "gpt2" },
      'model_type is "gpt2"; wanted: llama, mistral',
    ],
    [{ architectures: ["Qwen2ForCausalLM"] }, "wanted: LlamaForCausalLM, as model_type is llama"],
    [{ architectures: ["toString"], model_type: undefined }, "architectures is"],
    [{ architectures: undefined, model_type: "gpt2" }, 'model_type is "gpt2"; wanted: llama, mistral, qwen2'],
    [{ rope_scaling: { rope_type: "yarn", factor: 2 } }, 'rope_type is "yarn"; wanted: default, llama3'],
    [{ rope_scaling: { type: "dynamic", factor: 2 } }, 'type is "dynamic"; wanted: default, llama3'],
    [{ rope_parameters: { rope_type: "llama3", rope_theta: 1e4 } }, "rope_parameters: reading"],
    [
      { rope_parameters: { rope_theta: 5e5 }, rope_scaling: { rope_type: "linear", factor: 2 } },
      "rope_scaling: reading",
    ],
    [
      { sliding_window: 4, layer_types: ["full_attention", "sliding_attention"] },
      "layer_types is",
      mistral,
    ],
    [{ rope_parameters: { full_attention: { rope_theta: 1e4 } } }, "rope_parameters is"],
    [{ num_hidden_layers: 1e9 }, "num_hidden_layers is 1000000000"],
    [{ rope_parameters: { rope_theta: 1e4, partial_rotary_factor: 0.5 } }, "partial_rotary_factor is 0.5"],
    [{ quantization_config: { quant_method: "gptq" } }, "quantization_config is"],
    [{ hidden_act: "gelu" }, 'hidden_act is "gelu"; wanted: silu'],
    [{ attention_bias: true }, "attention_bias is true"],
    [{ mlp_bias: true }, "mlp_bias is true"],
    [{ hidden_size: undefined }, "hidden_size is missing"],
    [{ vocab_size: "100" }, 'vocab_size is "100"; wanted: a whole number from 1'],
    [{ num_hidden_layers: 1.5 }, "num_hidden_layers is 1.5"],
    [{ rms_norm_eps: -1 }, "rms_norm_eps is -1"],
    [{ tie_word_embeddings: "no" }, 'tie_word_embeddings is "no"'],
    [{ eos_token_id: "</s>" }, 'eos_token_id is "</s>"'],
    [{ num_key_value_heads: 3 }, "num_key_value_heads is 3; wanted: a divisor"],
    [{ head_dim: 7 }, "head_dim is 7; wanted: even"],
    [{ num_attention_heads: 5 }, "head_dim is missing; wanted: given"],
    [{ sliding_window: "7" }, 'sliding_window is "7"', mistral],
  ];
  for (const [over, message, base] of refused) {
    const error = assertThrows(() => parse(over, base), InputError, message);
    assert(error.message.startsWith("config.json"), error.message);
  }
});

Deno.test("model config: llama3's frequencies are Transformers' formula", () => {
  const rope = {
    rope_type: "llama3",
    rope_theta: 500000,
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  } as const;
  const got = inverseFrequencies({ head_dim: 128, rope });
  const plain = inverseFrequencies({ head_dim: 128, rope: { ...rope, rope_type: "default" } });
  assertEquals(plain[0], 1);
  assertAlmostEquals(plain[32], 500000 ** -0.5, 1e-18);
  let blended = 0;
  for (const [i, frequency] of plain.entries()) {
    // _compute_llama3_parameters, in wavelengths
    const wavelength = 2 * Math.PI / frequency;
    let wanted = wavelength > 8192 / 1 ? frequency / 8 : frequency;
    if (wavelength <= 8192 / 1 && wavelength >= 8192 / 4) {
      const smooth = (8192 / wavelength - 1) / (4 - 1);
      wanted = (1 - smooth) * wanted / 8 + smooth * wanted;
      blended++;
    }
    assertAlmostEquals(got[i] / wanted, 1, 1e-14, `frequency ${i}`);
  }
  assert(blended > 3 && got[63] === plain[63] / 8 && got[1] === plain[1]);
});

/** What Transformers reads and is refused here: other computations, or sizes that no file leaves out. */
const REFUSED =
  /: (?:hidden_act|vocab_size|intermediate_size|num_hidden_layers|hidden_size|type|rope_type|factor|rope_parameters|partial_rotary_factor|sliding_window|layer_types|max_window_layers|attention_bias|mlp_bias|quantization_config|num_key_value_heads|architectures) is /;

interface Read {
  model_type: string;
  rope: Record<string, unknown>;
  /** Of each layer. */
  windows: (number | null)[];
  bos: number | null;
  eos: number | number[] | null;
  [key: string]: unknown;
}

Deno.test("model config: the forms that the hub holds, as Transformers reads them (tests/golden/configs.py)", async () => {
  const file = new URL("../fixtures/configs.json", import.meta.url);
  const cases: [Record<string, unknown>, Read | null][] = JSON.parse(await Deno.readTextFile(file));
  let same = 0;
  for (const [raw, wanted] of cases) {
    const about = JSON.stringify(raw);
    let config;
    try {
      config = parseModelConfig(raw, "config.json");
    } catch (error) {
      assert(error instanceof InputError, about);
      assert(wanted === null || REFUSED.test(error.message), `${about}: ${error.message}`);
      continue;
    }
    if (wanted === null) continue; // Transformers is stricter about types and missing names
    same++;
    const { rope, windows, bos, eos, hidden_act, ...plain } = wanted;
    for (const [key, value] of Object.entries(plain)) {
      assertEquals(config[key as keyof typeof config], value, `${key} of ${about}`);
    }
    assertEquals(hidden_act === "silu" || hidden_act === "swish", true, about);
    assertEquals(windows, windows.map(() => config.sliding_window), about);
    assertEquals(config.eos_token_ids, [eos ?? []].flat().filter((id) => id >= 0), about);
    assertEquals(config.bos_token_id, bos !== null && bos >= 0 ? bos : null, about);
    // Stretching by 1 is no stretching.
    const unscaled = ["linear", "dynamic"].includes(rope.rope_type as string) && rope.factor === 1;
    const type = unscaled ? "default" : rope.rope_type;
    assertEquals([config.rope.rope_type, config.rope.rope_theta], [type, rope.rope_theta], about);
    if (type === "llama3") {
      for (
        const key of [
          "factor",
          "low_freq_factor",
          "high_freq_factor",
          "original_max_position_embeddings",
        ] as const
      ) {
        assertEquals(config.rope[key], rope[key], about);
      }
    }
  }
  assert(cases.length > 120 && same > 75, `${same} of ${cases.length}`);
});
