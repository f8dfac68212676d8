/**
 * Chat templates: where a model directory keeps them, and rendering as Transformers does it.
 */
import { Template } from "../deps.ts";
import { InputError } from "../errors.ts";
import { readTextIfPresent } from "../io/files.ts";

/** One turn of a conversation. */
export interface Message {
  /** Who speaks: `system`, `user`, `assistant`, `tool`. */
  readonly role: string;
  /** What is said. */
  readonly content: string;
}

/** A compiled template. */
export interface ChatTemplate {
  readonly source: string;
  render(
    variables: { messages: readonly Message[]; add_generation_prompt: boolean; [name: string]: unknown },
  ): string;
}

/** Named special tokens that templates may use. */
const TOKEN_KEYS = [
  "bos_token",
  "eos_token",
  "unk_token",
  "pad_token",
  "sep_token",
  "cls_token",
  "mask_token",
];

/** The template of a model directory: `chat_template.jinja`, else `chat_template` in `tokenizer_config.json`. */
export async function findTemplate(
  path: string,
  config: Record<string, unknown>,
): Promise<ChatTemplate | undefined> {
  const file = `${path}/chat_template.jinja`, text = await readTextIfPresent(file);
  if (text !== undefined) return compile(text.replaceAll("\r\n", "\n"), { file, config });
  const source = inConfig(config.chat_template);
  return source === undefined
    ? undefined
    : compile(source, { file: `${path}/tokenizer_config.json`, config });
}

/** A string, or a list of named templates of which "default" counts. */
function inConfig(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.find((entry) => entry?.name === "default");
  return typeof named?.template === "string" ? named.template : undefined;
}

function compile(
  source: string,
  { file, config }: { file: string; config: Record<string, unknown> },
): ChatTemplate {
  let template: Template;
  try {
    template = new Template(source);
    mendStrips(template.parsed);
  } catch (error) {
    throw new InputError(`${file}: the chat template could not be read: ${(error as Error).message}`);
  }
  const tokens: Record<string, string> = {};
  for (const key of TOKEN_KEYS) {
    const value = config[key] as string | { content?: string } | null | undefined;
    const content = typeof value === "string" ? value : value?.content;
    if (content !== undefined) tokens[key] = content;
  }
  return {
    source,
    render(variables) {
      try {
        return template.render({ ...STRIPS, ...tokens, ...variables });
      } catch (error) {
        const roles = variables.messages.map((message) => message.role).join(", ");
        throw new InputError(
          `the chat template of ${file} refuses this conversation (roles: ${roles}): ${
            (error as Error).message
          }`,
        );
      }
    },
  };
}

/** Python's str.strip(characters) and its kin, which @huggingface/jinja 0.5 takes for the plain strip(). */
const STRIPS = {
  __strip: (text: string, characters: string) => stripStart(stripEnd(text, characters), characters),
  __lstrip: stripStart,
  __rstrip: stripEnd,
};

function stripStart(text: string, characters: string): string {
  const kept = [...text], first = kept.findIndex((character) => !characters.includes(character));
  return first < 0 ? "" : kept.slice(first).join("");
}

function stripEnd(text: string, characters: string): string {
  const kept = [...text], last = kept.findLastIndex((character) => !characters.includes(character));
  return kept.slice(0, last + 1).join("");
}

interface Node {
  type?: string;
  value?: unknown;
  callee?: Node;
  object?: Node;
  property?: Node;
  computed?: boolean;
  args?: Node[];
}

/** Turns `text.strip(characters)` anywhere in a parsed template into a call of `__strip(text, characters)`. */
function mendStrips(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  for (const child of value instanceof Map ? value.values() : Object.values(value)) mendStrips(child);
  const node = value as Node, { callee, args } = node;
  if (node.type !== "CallExpression" || callee?.type !== "MemberExpression" || callee.computed) return;
  if (args?.length !== 1 || !/^[lr]?strip$/.test(String(callee.property?.value))) return;
  node.args = [callee.object!, args[0]];
  node.callee = { type: "Identifier", value: `__${callee.property!.value}` };
}
