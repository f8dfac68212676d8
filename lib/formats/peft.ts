/**
 * Adapter directories as PEFT keeps them: `adapter_config.json` and `adapter_model.safetensors`.
 *
 * Source: https://huggingface.co/docs/peft/developer_guides/checkpoint
 */
import { InputError } from "../errors.ts";
import type { TokenizerFiles } from "./huggingface.ts";
import { isFile } from "../io/files.ts";
import { readJsonObject, writeJson } from "../io/json.ts";
import { writeWhole } from "../io/whole.ts";
import { openSafetensors, type SafetensorsFile, type TensorSource, writeSafetensors } from "./safetensors.ts";

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";

/** What we read of `adapter_config.json`, under its keys. */
export interface PeftConfig {
  /** Path or hub name of the base; null where the file does not say. */
  readonly base_model_name_or_path: string | null;
  readonly r: number;
  readonly lora_alpha: number;
  readonly use_rslora: boolean;
  readonly lora_dropout: number;
}

/** An open adapter: its tensors are read on demand. */
export interface PeftDirectory {
  readonly path: string;
  readonly config: PeftConfig;
  /** The paths of its files. */
  readonly files: readonly string[];
  readonly tensors: SafetensorsFile["tensors"];
  read(name: string): Promise<Float32Array<ArrayBuffer>>;
  close(): void;
}

/** Whether a directory holds an adapter. */
export function isPeftDirectory(path: string): Promise<boolean> {
  return isFile(`${path}/${CONFIG}`);
}

/**
 * Opens an adapter directory.
 *
 * @throws {InputError} naming what is missing, or a kind of adapter that is not LoRA as we compute it
 */
export async function openPeftDirectory(path: string): Promise<PeftDirectory> {
  const config = parsePeftConfig(
    await readJsonObject(`${path}/${CONFIG}`, "a PEFT adapter's configuration"),
    path,
  );
  if (!await isFile(`${path}/${WEIGHTS}`)) {
    const old = await isFile(`${path}/adapter_model.bin`);
    throw new InputError(
      `${path}: ${WEIGHTS} is not there${old ? ", only adapter_model.bin, which is not read" : ""}. ` +
        "Save the adapter with PEFT's save_pretrained (safetensors is its default).",
    );
  }
  const file = await openSafetensors(`${path}/${WEIGHTS}`);
  return {
    path,
    config,
    files: [CONFIG, WEIGHTS].map((name) => `${path}/${name}`),
    tensors: file.tensors,
    read: (name) => file.read(name),
    close: () => file.close(),
  };
}

/** Keys of other kinds of adapter: what they hold where they are not in use. */
const UNUSED: Readonly<Record<string, readonly unknown[]>> = {
  use_dora: [false],
  use_qalora: [false],
  use_bdlora: [false],
  lora_bias: [false],
  bias: ["none"],
  fan_in_fan_out: [false],
  modules_to_save: [],
  rank_pattern: [],
  alpha_pattern: [],
  layer_replication: [],
  trainable_token_indices: [],
  target_parameters: [],
  alora_invocation_tokens: [],
  // the others change the base's own weights when they are made
  init_lora_weights: [true, false, "gaussian", "orthogonal", "eva"],
};

function parsePeftConfig(raw: Record<string, unknown>, path: string): PeftConfig {
  const fail = (key: string, wanted: string): never => {
    throw new InputError(
      `${path}/${CONFIG}: reading the adapter's configuration: ${key} is ${
        JSON.stringify(raw[key])
      }; wanted: ${wanted}. ` +
        "Use a plain LoRA adapter of PEFT's.",
    );
  };
  if (raw.peft_type !== "LORA") fail("peft_type", "LORA (of PEFT's adapters LoRA alone is supported)");
  for (const [key, values] of Object.entries(UNUSED)) {
    const value = raw[key] ?? null;
    const empty = value === null || (typeof value === "object" && Object.keys(value).length === 0);
    if (empty || values.includes(value)) continue;
    fail(key, values.length > 0 ? values.map((v) => JSON.stringify(v)).join(" or ") : "none");
  }
  const { r, lora_alpha, lora_dropout = 0, use_rslora = false, base_model_name_or_path: base = null } = raw;
  if (!(Number.isSafeInteger(r) && r as number > 0)) fail("r", "a whole number from 1");
  if (!(typeof lora_alpha === "number" && Number.isFinite(lora_alpha))) fail("lora_alpha", "a number");
  if (typeof use_rslora !== "boolean") fail("use_rslora", "true or false");
  if (base !== null && typeof base !== "string") {
    fail("base_model_name_or_path", "a path or a name on the hub");
  }
  return {
    base_model_name_or_path: base as string | null,
    r: r as number,
    lora_alpha: lora_alpha as number,
    use_rslora: use_rslora as boolean,
    lora_dropout: typeof lora_dropout === "number" ? lora_dropout : 0,
  };
}

/** What goes into an adapter directory. */
export interface WritePeftOptions extends Omit<PeftConfig, "lora_dropout"> {
  /** Full names of the layers. */
  readonly modules: readonly string[];
  /** By PEFT's names. */
  readonly tensors: Iterable<Omit<TensorSource, "dtype">>;
  /** The tokenizer and generation settings that go along. */
  readonly tokenizerFiles: TokenizerFiles;
}

/** Writes an adapter into a directory that is there, as PEFT loads it; in float32. */
export async function writePeftFiles(path: string, options: WritePeftOptions): Promise<void> {
  const { modules, tensors, tokenizerFiles, ...config } = options;
  await writeJson(`${path}/${CONFIG}`, {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    ...config,
    lora_dropout: 0,
    bias: "none",
    fan_in_fan_out: false,
    init_lora_weights: true,
    inference_mode: true,
    modules_to_save: null,
    rank_pattern: {},
    alpha_pattern: {},
    target_modules: [...modules].sort(),
  });
  for (const [name, bytes] of tokenizerFiles) await writeWhole(`${path}/${name}`, bytes);
  await writeSafetensors(
    `${path}/${WEIGHTS}`,
    Array.from(tensors, (tensor) => ({ ...tensor, dtype: "F32" })),
  );
}
