/**
 * Adapters (LoRA) from PEFT's directories onto a base's weights.
 */
import { InputError } from "../errors.ts";
import { openPeftDirectory, type PeftDirectory } from "../formats/peft.ts";
import type { Gpu } from "../gpu/device.ts";
import { exists } from "../io/files.ts";
import { readJsonObject } from "../io/json.ts";
import {
  type AdapterConfig,
  adapterTensorName,
  checkRank,
  type LinearModule,
  linearModules,
} from "../model/adapter_config.ts";
import { createAdapters, withAdapters } from "../model/adapters.ts";
import type { ModelConfig } from "../model/config.ts";
import { settleAdapters } from "../model/settle.ts";
import type { ParamStore } from "../model/params.ts";
import { checkFinite, writeShards } from "../model/shards.ts";

/** An adapter whose files are open, and checked against its base. */
export interface OpenLora {
  readonly directory: PeftDirectory;
  readonly config: AdapterConfig;
}

/** The base that an adapter's directory names: a path relative to the directory, or a model on the hub. */
export async function baseOf(path: string): Promise<string> {
  const { base_model_name_or_path: name } = await readJsonObject(
    `${path}/adapter_config.json`,
    "a PEFT adapter's configuration",
  );
  if (typeof name !== "string" || name === "") {
    throw new InputError(
      `${path}/adapter_config.json: base_model_name_or_path is missing, so that the adapter's base is not known. ` +
        "Give the base as model and this directory as adapter.",
    );
  }
  const beside = `${path}/${name}`;
  return !name.startsWith("/") && await exists(beside) ? beside : name;
}

/** Opens an adapter and checks that it fits the base, whose configuration this is. */
export async function openLora(path: string, base: ModelConfig): Promise<OpenLora> {
  const directory = await openPeftDirectory(path);
  try {
    const { r, lora_alpha, use_rslora } = directory.config;
    const modules = modulesOf(directory, base);
    const config = { r, lora_alpha, use_rslora, modules };
    checkTensors(directory, { base, config });
    checkRank(base, config);
    for (const name of directory.tensors.keys()) {
      checkFinite(await directory.read(name), { name, where: path });
    }
    return { directory, config };
  } catch (error) {
    directory.close();
    throw error;
  }
}

/** The layers that an adapter's tensors are for, in the model's order. */
function modulesOf({ path, tensors }: PeftDirectory, base: ModelConfig): string[] {
  const known = linearModules(base);
  const names = new Set(
    known.flatMap(({ name }) => [adapterTensorName(name, "A"), adapterTensorName(name, "B")]),
  );
  const stray = [...tensors.keys()].find((name) => !names.has(name));
  if (stray !== undefined || tensors.size === 0) {
    throw new InputError(
      `Reading the adapter ${path}: ${
        stray === undefined ? "it holds no tensor" : `it holds the tensor ${stray}`
      }, and a ` +
        `${base.architecture} of this size has LoRA tensors like ${
          adapterTensorName(known[0]!.name, "A")
        }. ` +
        "Take the base that the adapter was made for.",
    );
  }
  return known.map(({ name }) => name).filter((name) =>
    tensors.has(adapterTensorName(name, "A")) || tensors.has(adapterTensorName(name, "B"))
  );
}

function checkTensors(
  { path, tensors }: PeftDirectory,
  { base, config: { r, modules } }: { base: ModelConfig; config: AdapterConfig },
): void {
  const chosen = linearModules(base).filter(({ name }) => modules.includes(name));
  for (const { name, shape } of chosen.flatMap((module) => tensorShapes(module, r))) {
    const found = tensors.get(name)?.shape;
    if (found?.join() === shape.join()) continue;
    throw new InputError(
      `Reading the adapter ${path}: tensor ${name} ${
        found ? `has the shape [${found.join(", ")}]` : "is missing"
      }; ` +
        `its r of ${r} and the base ask for [${
          shape.join(", ")
        }]. Take the base that the adapter was made for.`,
    );
  }
}

function tensorShapes({ name, outputs, inputs }: LinearModule, r: number) {
  return [
    { name: adapterTensorName(name, "A"), shape: [r, inputs] },
    { name: adapterTensorName(name, "B"), shape: [outputs, r] },
  ];
}

/** The base with an adapter on it, read from its files; for decoding `settled`. */
export async function putOn(
  gpu: Gpu,
  base: ParamStore,
  { lora, trainable, settled = false }: { lora: OpenLora; trainable: boolean; settled?: boolean },
): Promise<ParamStore> {
  const { directory, config } = lora;
  const adapters = createAdapters(gpu, base.config, { adapter: config, trainable });
  await writeShards(gpu, adapters, { ...directory, where: directory.path });
  return settled ? await settleAdapters(gpu, base, adapters) : withAdapters(base, adapters);
}
