/**
 * What lies beside `tokenizer.json`: `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`, and the
 * tokens that stand only there. As Transformers 5 reads them (PreTrainedTokenizerBase._from_pretrained and
 * TokenizersBackend.__init__).
 */
import { InputError } from "../../errors.ts";
import { readJsonObjectIfPresent } from "../../io/json.ts";
import type { AddedToken, AddedTokens } from "./added_tokens.ts";
import { Fields, isId } from "./fields.ts";

/** The settings of a tokenizer. */
export interface TokenizerSettings {
  /** `tokenizer_config.json`, with the special tokens that other files name. */
  readonly config: Readonly<Record<string, unknown>>;
  /** The tokens of `added_tokens_decoder` or `added_tokens.json`, in the order of their ids. */
  readonly listed: readonly AddedToken[];
}

/** The roles of special tokens, in Transformers' order. */
export const SPECIAL_ROLES = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;

/** Reads the files of a model directory; each may be absent. */
export async function readSettings(path: string): Promise<TokenizerSettings> {
  const read = (name: string, purpose: string) => readJsonObjectIfPresent(`${path}/${name}`, purpose);
  const config = await read("tokenizer_config.json", "the tokenizer's settings") ?? {};
  const where = `${path}/tokenizer_config.json: added_tokens_decoder`;
  if (config.added_tokens_decoder !== undefined) {
    const listed = Object.entries(new Fields(config.added_tokens_decoder, where).value);
    return {
      config,
      listed: byId(listed.map(([id, token]) => [Number(id), readToken(token, where)]), where),
    };
  }
  // Older versions of Transformers wrote files of their own, which count where the list above is missing.
  Object.assign(config, await read("special_tokens_map.json", "the tokenizer's special tokens"));
  const added = await read("added_tokens.json", "the tokenizer's added tokens") ?? {};
  const special = new Set(
    [...SPECIAL_ROLES.map((role) => config[role]), ...extraTokens(config)].map(tokenContent),
  );
  const tokens = Object.entries(added).map(([content, id]): [unknown, AddedToken] => [
    id,
    plainToken(content, { special: special.has(content) }),
  ]);
  return { config, listed: byId(tokens, `${path}/added_tokens.json`) };
}

function byId(tokens: readonly (readonly [unknown, AddedToken])[], where: string): AddedToken[] {
  for (const [id, { content }] of tokens) {
    if (!isId(id)) {
      throw new InputError(
        `${where}: the id of ${JSON.stringify(content)} is ${
          JSON.stringify(id)
        }, a whole number from 0 is wanted. ` +
          "Fetch the file again.",
      );
    }
  }
  return tokens.toSorted((a, b) => (a[0] as number) - (b[0] as number)).map(([, token]) => token);
}

/** A special token as its text or as an AddedToken object. */
export function tokenContent(token: unknown): string | undefined {
  if (typeof token === "string") return token;
  const content = (token as { content?: unknown } | null | undefined)?.content;
  return typeof content === "string" ? content : undefined;
}

function plainToken(content: string, { special }: { special: boolean }): AddedToken {
  return { content, single_word: false, lstrip: false, rstrip: false, normalized: !special, special };
}

function readToken(token: unknown, where: string): AddedToken {
  const node = new Fields(token, where), special = node.boolean("special", false);
  return {
    content: node.string("content"),
    single_word: node.boolean("single_word", false),
    lstrip: node.boolean("lstrip", false),
    rstrip: node.boolean("rstrip", false),
    normalized: node.boolean("normalized", !special),
    special,
  };
}

/** `extra_special_tokens`, or by its older name. */
function extraOf(config: Readonly<Record<string, unknown>>): unknown {
  const { extra_special_tokens: extra, additional_special_tokens: older } = config;
  const given = typeof extra === "object" && extra !== null && Object.keys(extra).length > 0;
  return given ? extra : older;
}

function extraTokens(config: Readonly<Record<string, unknown>>): unknown[] {
  const extra = extraOf(config);
  return Array.isArray(extra) ? extra : [];
}

/** Special tokens' texts by role: the seven, and those that a model's own keys (`image_token`) or settings name. */
export function namedTokens(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [role, token] of namedEntries(config)) {
    const content = tokenContent(token);
    if (content !== undefined) texts[role] = content;
  }
  return texts;
}

function namedEntries(config: Readonly<Record<string, unknown>>): [string, unknown][] {
  const extra = extraOf(config);
  const more = typeof extra === "object" && extra !== null && !Array.isArray(extra)
    ? Object.entries(extra)
    : [];
  const own = Object.entries(config).filter(([key, value]) =>
    key.endsWith("_token") && !(SPECIAL_ROLES as readonly string[]).includes(key) &&
    tokenContent(value) !== undefined
  );
  return [...SPECIAL_ROLES.map((role): [string, unknown] => [role, config[role]]), ...more, ...own];
}

/** Adds the tokens that the settings name and `tokenizer.json` does not hold (or holds with other properties). */
export function addBeside(added: AddedTokens, { config, listed }: TokenizerSettings, where: string): void {
  const named = namedEntries(config).map(([, token]) => token), names = new Set(named.map(tokenContent));
  const tokens: AddedToken[] = [], known = new Set<string>();
  const take = (token: AddedToken) => {
    tokens.push(names.has(token.content) ? { ...token, special: true } : token);
    known.add(token.content);
  };
  for (const token of listed) if (!same(added.get(token.content), token)) take(token);
  for (const token of [...named, ...extraTokens(config)]) {
    const content = tokenContent(token);
    if (content === undefined || known.has(content) || added.get(content)) continue;
    take(typeof token === "string" ? plainToken(content, { special: true }) : readToken(token, where));
  }
  added.add(tokens);
}

function same(a: AddedToken | undefined, b: AddedToken): boolean {
  return a !== undefined && (Object.keys(b) as (keyof AddedToken)[]).every((key) => a[key] === b[key]);
}
