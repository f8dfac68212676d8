/** Which tokens end a completion. */
import type { Tokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import { readJsonObjectIfPresent } from "../io/json.ts";
import { MAX_END_TOKENS } from "../ops/sample.ts";
import type { OpenModel } from "../load/model.ts";

/** Every token that some file of the model calls its end. */
export async function endTokens({ path, config }: OpenModel, tokenizer: Tokenizer): Promise<number[]> {
  const ids = new Set([...config.eos_token_ids, ...await generationEnds(path)]);
  if (tokenizer.eosId !== undefined) ids.add(tokenizer.eosId);
  if (ids.size > MAX_END_TOKENS) {
    throw new InputError(
      `${path}: ${ids.size} end tokens are named in config.json, generation_config.json and the tokenizer; at most ` +
        `${MAX_END_TOKENS} are supported. Shorten eos_token_id.`,
    );
  }
  return [...ids];
}

/** As {@link endTokens}, of a directory whose weights may be missing. */
export async function endTokensIn(path: string, tokenizer: Tokenizer): Promise<number[]> {
  const ids = [tokenizer.eosId, ...await endsOf(`${path}/config.json`), ...await generationEnds(path)];
  return ids.filter((id) => id !== undefined);
}

/** The end tokens of `generation_config.json`; none where there is no such file. */
async function generationEnds(path: string): Promise<number[]> {
  return await endsOf(`${path}/generation_config.json`);
}

async function endsOf(file: string): Promise<number[]> {
  const { eos_token_id: ids = [] } = await readJsonObjectIfPresent(file, "the model's settings") ?? {};
  return [ids].flat().filter((id): id is number => typeof id === "number");
}

/** Says where the tokenizer ends completions with a token that programs which follow the model's files do not stop at. */
export async function endTokenWarning(
  { path, config }: OpenModel,
  tokenizer: Tokenizer,
): Promise<string | undefined> {
  const generation = await generationEnds(path), { eosId } = tokenizer;
  const ends = generation.length > 0 ? generation : config.eos_token_ids;
  if (eosId === undefined || ends.length === 0 || ends.includes(eosId)) return undefined;
  const name = (id: number) => `${JSON.stringify(tokenizer.tokenText(id))} (${id})`;
  return `The tokenizer's end token is ${name(eosId)}, but ` +
    `${generation.length > 0 ? "generation_config.json" : "config.json"} has generation stop at ` +
    `${
      ends.map(name).join(", ")
    }: programs that follow it do not stop where completions of plain text end here`;
}
