/** Which tokens end a completion. */
import type { Tokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import { readTextIfPresent } from "../io/files.ts";
import { readJsonObject } from "../io/json.ts";
import { MAX_END_TOKENS } from "../ops/sample.ts";
import type { OpenModel } from "../load/model.ts";

/** Every token that some file of the model calls its end. */
export async function endTokens({ path, config }: OpenModel, tokenizer: Tokenizer): Promise<number[]> {
  const ids = new Set(config.eos_token_ids);
  if (tokenizer.eosId !== undefined) ids.add(tokenizer.eosId);
  const file = `${path}/generation_config.json`;
  if (await readTextIfPresent(file) !== undefined) {
    const { eos_token_id: more } = await readJsonObject(file, "the model's generation settings");
    for (const id of [more].flat()) if (typeof id === "number") ids.add(id);
  }
  if (ids.size > MAX_END_TOKENS) {
    throw new InputError(
      `${path}: ${ids.size} end tokens are named in config.json, generation_config.json and the tokenizer; at most ` +
        `${MAX_END_TOKENS} are supported. Shorten eos_token_id.`,
    );
  }
  return [...ids];
}
