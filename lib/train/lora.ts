/**
 * The adapters that a run trains: which, and what they start from.
 */
import { Random } from "../data/random.ts";
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { elementCount, type Tensor } from "../gpu/tensor.ts";
import type { OpenModel } from "../load/model.ts";
import { storageOf } from "../load/storage.ts";
import { putOn } from "../load/lora.ts";
import { type AdapterConfig, checkRank, targetModules } from "../model/adapter_config.ts";
import { createAdapters, withAdapters } from "../model/adapters.ts";
import type { ParamStore, Storage } from "../model/params.ts";
import { writeShards } from "../model/shards.ts";
import type { TrainOptions } from "./options.ts";

type LoraOptions = Pick<TrainOptions, "lora_r" | "lora_alpha" | "lora_target_modules" | "use_rslora">;

/** The run's adapters: those of the model's own adapter, else new ones; undefined where the weights are trained. */
export function resolveLora(options: LoraOptions, { config, adapter }: OpenModel): AdapterConfig | undefined {
  const { lora_r: r, lora_alpha = 2 * r, lora_target_modules: targets, use_rslora } = options;
  if (adapter) {
    checkUnchanged(options, adapter.config, () => targetModules(config, listOf(targets)));
    return adapter.config;
  }
  if (r === 0) return undefined;
  const made = { r, lora_alpha, use_rslora, modules: targetModules(config, listOf(targets)) };
  checkRank(config, made);
  return made;
}

function listOf(targets: LoraOptions["lora_target_modules"]): "all-linear" | readonly string[] {
  const list = typeof targets === "string" ? [targets] : targets ?? ["all-linear"];
  return list.length === 1 && list[0] === "all-linear" ? "all-linear" : list;
}

/** An adapter that training goes on with has its sizes; options may repeat them, not change them. */
function checkUnchanged(
  options: LoraOptions,
  { r, lora_alpha, use_rslora, modules }: AdapterConfig,
  targets: () => readonly string[],
): void {
  const wrong = (key: string, given: unknown, own: unknown): never => {
    throw new InputError(
      `Going on with an adapter: ${key} is given as ${given}, but the adapter has ${own}. Leave ${key} out.`,
    );
  };
  if (options.lora_r !== 0 && options.lora_r !== r) wrong("lora_r", options.lora_r, r);
  const alpha = options.lora_alpha;
  if (alpha !== undefined && alpha !== lora_alpha) wrong("lora_alpha", alpha, lora_alpha);
  if (options.use_rslora && !use_rslora) wrong("use_rslora", true, false);
  if (options.lora_target_modules === undefined || targets().join() === modules.join()) return;
  wrong(
    "lora_target_modules",
    listOf(options.lora_target_modules),
    `adapters on ${modules.length} layers of its own`,
  );
}

/** The adapters that are trained, if any, and how the frozen weights below them lie in GPU memory. */
export function policyLayout(
  { lora, policy, options }: {
    lora: AdapterConfig | undefined;
    policy: OpenModel;
    options: Pick<TrainOptions, "base_dtype">;
  },
): { lora?: AdapterConfig; storage?: Storage } {
  return lora ? { lora, storage: storageOf(policy.directory, options.base_dtype) } : {};
}

/** The base with the adapters that training starts from. */
export async function startAdapters(
  gpu: Gpu,
  base: ParamStore,
  { policy, lora, seed }: { policy: OpenModel; lora: AdapterConfig; seed: number },
): Promise<ParamStore> {
  if (policy.adapter) return await putOn(gpu, base, { lora: policy.adapter, trainable: true });
  const adapters = createAdapters(gpu, base.config, { adapter: lora, trainable: true });
  const shapes = new Map(adapters.specs.map(({ name, shape }) => [name, { shape }]));
  const names = [...shapes.keys()];
  await writeShards(gpu, adapters, {
    where: "new adapters",
    tensors: shapes,
    read: (name) =>
      Promise.resolve(startOf(name, shapes.get(name)!.shape, { seed, stream: names.indexOf(name) })),
  });
  return withAdapters(base, adapters);
}

/** B is 0; A is uniform as in PEFT (Kaiming with a = √5): within ±1/√inputs. */
function startOf(
  name: string,
  shape: Tensor["shape"],
  { seed, stream }: { seed: number; stream: number },
): Float32Array<ArrayBuffer> {
  const values = new Float32Array(elementCount(shape));
  if (name.includes(".lora_B.")) return values;
  const random = new Random(seed, A_STREAM, stream);
  const bound = 1 / Math.sqrt(shape[1]!);
  return values.map(() => bound * (2 * random.uniform() - 1));
}

/** Tells these numbers from the shuffle's, which come from the same seed. */
const A_STREAM = 0x10a;
