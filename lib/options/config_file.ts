/**
 * A config file: one object of options, as JSON or YAML.
 */
import { loadYaml } from "../deps.ts";
import { InputError } from "../errors.ts";
import { readTextIfPresent } from "../io/files.ts";
import { describe } from "../io/json.ts";

/** Reads a config file; by its name it is YAML (`.yaml`, `.yml`) or JSON. */
export async function readConfig(path: string): Promise<Record<string, unknown>> {
  const wanted = "Wanted is a JSON or YAML object of options; `--help` lists them.";
  const text = await readTextIfPresent(path).catch((error: Error) => {
    throw new InputError(`Reading the config file ${path}: ${error.message}. ${wanted}`, { cause: error });
  });
  if (text === undefined) throw new InputError(`Reading the config file ${path}: no such file. ${wanted}`);
  const yaml = /\.ya?ml$/i.test(path);
  let value: unknown;
  try {
    value = yaml ? (await loadYaml()).parse(text) : JSON.parse(text);
  } catch (error) {
    const kind = yaml ? "YAML" : "JSON";
    throw new InputError(
      `Reading the config file ${path}: it is not ${kind} (${(error as Error).message}). ${wanted}`,
    );
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new InputError(`Reading the config file ${path}: it holds ${describe(value)}. ${wanted}`);
}
