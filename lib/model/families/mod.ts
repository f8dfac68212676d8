/**
 * The model families: Hugging Face's `config.json`, checked, as Transformers 4 and 5 write it, to the model's own
 * description. A family is one file and its line here.
 */
import type { ModelConfig } from "../config.ts";
import { ConfigKeys } from "../config_keys.ts";
import type { Family } from "./family.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { qwen2 } from "./qwen2.ts";
import { parseRope } from "./rope.ts";

const families: readonly Family[] = [llama, mistral, qwen2];

/** No model comes near; what asks for more is damaged, and would fill the memory before its files were looked at. */
const MAX_LAYERS = 10_000;

/**
 * Reads and checks a `config.json`.
 *
 * @param raw The parsed file.
 * @param where The file's name, for messages.
 * @throws {InputError} on a missing or ill-typed key and on anything unsupported, naming it and what is supported.
 */
export function parseModelConfig(raw: Record<string, unknown>, where: string): ModelConfig {
  const keys = new ConfigKeys(raw, where);
  const family = findFamily(keys);
  keys.only("quantization_config", [null], "unquantised weights (F32, F16 or BF16)");
  keys.only("hidden_act", ["silu", "swish"], "silu");
  const layers = keys.count("num_hidden_layers");
  if (layers > MAX_LAYERS) keys.fail("num_hidden_layers", `at most ${MAX_LAYERS}`);
  const { defaults } = family, max = keys.count("max_position_embeddings", defaults.max_position_embeddings);
  const one = (id: number | undefined) => id === undefined ? [] : [id];
  const own = family.read(keys);

  const hidden = keys.count("hidden_size");
  const heads = keys.count("num_attention_heads");
  const missing = keys.raw.num_key_value_heads === undefined;
  const groups = keys.count("num_key_value_heads", missing ? defaults.num_key_value_heads ?? heads : heads);
  if (heads % groups !== 0) {
    keys.fail("num_key_value_heads", `a divisor of num_attention_heads, ${heads}`);
  }
  const headDim = keys.count("head_dim", hidden / heads);
  if (!Number.isInteger(headDim)) keys.fail("head_dim", `given, for ${heads} heads do not divide ${hidden}`);
  if (headDim % 2 !== 0) keys.fail("head_dim", `even, for rotary embeddings turn pairs (it is ${headDim})`);
  return {
    architecture: family.architecture,
    model_type: family.model_type,
    hidden_size: hidden,
    intermediate_size: keys.count("intermediate_size"),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: groups,
    head_dim: headDim,
    vocab_size: keys.count("vocab_size"),
    rms_norm_eps: keys.positive("rms_norm_eps", defaults.rms_norm_eps),
    max_position_embeddings: max,
    rope: parseRope(keys, max),
    ...own,
    tie_word_embeddings: keys.flag("tie_word_embeddings"),
    hidden_act: "silu",
    bos_token_id: keys.tokens("bos_token_id", one(defaults.bos_token_id))[0] ?? null,
    eos_token_ids: keys.tokens("eos_token_id", one(defaults.eos_token_id)),
    raw,
  };
}

/**
 * The family, by `model_type`, as in Transformers; by `architectures` where a file has none. Where both name a family
 * that is known here, they must agree.
 */
function findFamily(keys: ConfigKeys): Family {
  const { model_type: type, architectures: listed } = keys.raw;
  const names: unknown[] = Array.isArray(listed) ? listed : [listed];
  const same = (a: unknown, b: string) => typeof a === "string" && a.toLowerCase() === b.toLowerCase();
  const named = families.find(({ architecture }) => names.some((name) => same(name, architecture)));
  if (type === undefined || type === null) {
    return named ?? keys.fail("architectures", `one of ${families.map((f) => f.architecture).join(", ")}`);
  }
  const found = families.find(({ model_type }) => same(type, model_type)) ??
    keys.fail("model_type", families.map(({ model_type }) => model_type).join(", "));
  if (named && named !== found) keys.fail("architectures", `${found.architecture}, as model_type is ${type}`);
  return found;
}

/** The family of a description that `parseModelConfig` made. */
export function familyOf({ architecture }: Pick<ModelConfig, "architecture">): Family {
  return families.find((family) => family.architecture === architecture)!;
}
