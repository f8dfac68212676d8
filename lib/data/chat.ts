/**
 * Chat templates: where a model directory keeps them, and what they are given, as in Transformers 5.
 */
import { InputError } from "../errors.ts";
import { listDirectory, readTextIfPresent } from "../io/files.ts";
import { Template } from "./jinja/template.ts";
import { namedTokens } from "./tokenizer/settings.ts";

/** One turn of a conversation. */
export interface Message {
  /** Who speaks: `system`, `user`, `assistant`, `tool`. */
  readonly role: string;
  /** What is said. */
  readonly content: string;
}

/** What a template is given; `tools` and `documents` are None where they are not. */
export interface ChatVariables {
  readonly messages: readonly Message[];
  readonly add_generation_prompt: boolean;
  readonly [name: string]: unknown;
}

/** A compiled template. */
export interface ChatTemplate {
  readonly source: string;
  /** The texts that are used, by name: `default`, and `tool_use` where there is one. */
  readonly texts: ReadonlyMap<string, string>;
  /** `now` gives the time to templates that write today's date. */
  render(variables: ChatVariables, now?: () => Date): string;
}

/** A template's text and the file that it stands in. */
interface Source {
  readonly text: string;
  readonly file: string;
}

/**
 * The templates of a model directory: `chat_template.jinja` and those in `additional_chat_templates`, else
 * `chat_template` in `tokenizer_config.json`. Of several, `tool_use` writes conversations with tools, `default` others.
 */
export async function findTemplate(
  path: string,
  config: Readonly<Record<string, unknown>>,
): Promise<ChatTemplate | undefined> {
  const files = await templateFiles(path);
  const sources = files.size > 0 ? files : templatesIn(config.chat_template, `${path}/tokenizer_config.json`);
  const main = sources.get("default");
  if (!main) {
    if (sources.size === 0) return undefined;
    throw new InputError(
      `${path}: has the chat templates ${[...sources.keys()].join(", ")}, but none called "default". ` +
        "Put the one to use beside the model as chat_template.jinja.",
    );
  }
  const tools = sources.get("tool_use"),
    plain = compile(main, config),
    withTools = tools && compile(tools, config);
  return {
    source: tools ? JSON.stringify([main.text, tools.text]) : main.text,
    texts: new Map([["default", main.text], ...(tools ? [["tool_use", tools.text] as const] : [])]),
    render(variables, now) {
      const chosen = withTools && (variables.tools ?? null) !== null ? withTools : plain;
      return chosen(variables, now);
    },
  };
}

async function templateFiles(path: string): Promise<Map<string, Source>> {
  const sources = new Map<string, Source>();
  const read = async (name: string, file: string) => {
    const text = await readTextIfPresent(file);
    if (text !== undefined) sources.set(name, { text, file });
  };
  await read("default", `${path}/chat_template.jinja`);
  const folder = `${path}/additional_chat_templates`;
  for (const { name } of await listDirectory(folder)) {
    if (name.endsWith(".jinja")) await read(name.slice(0, -".jinja".length), `${folder}/${name}`);
  }
  return sources;
}

/** A string, or a list of named templates. */
function templatesIn(value: unknown, file: string): Map<string, Source> {
  if (typeof value === "string") return new Map([["default", { text: value, file }]]);
  const sources = new Map<string, Source>();
  for (const entry of Array.isArray(value) ? value : []) {
    const { name, template } = (entry ?? {}) as { name?: unknown; template?: unknown };
    if (typeof name === "string" && typeof template === "string") sources.set(name, { text: template, file });
  }
  return sources;
}

function compile(
  { text, file }: Source,
  config: Readonly<Record<string, unknown>>,
): ChatTemplate["render"] {
  let template: Template;
  try {
    template = new Template(text);
  } catch (error) {
    throw new InputError(`${file}: the chat template could not be read: ${(error as Error).message}`);
  }
  const tokens = namedTokens(config);
  return ({ messages, ...variables }, now) => {
    const given = messages.map((message) => withReasoning(withoutNulls(message)));
    try {
      return template.render(
        { tools: null, documents: null, ...tokens, ...variables, messages: given },
        now ? { now } : {},
      );
    } catch (error) {
      const roles = messages.map((message) => message.role).join(", ");
      throw new InputError(
        `the chat template of ${file} refuses this conversation (roles: ${roles}): ${
          (error as Error).message
        }`,
        { cause: error },
      );
    }
  };
}

/** Without the keys that are null: Parquet gives every message all of its file's keys. */
function withoutNulls(message: Message): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(message).filter(([, value]) => value !== null && value !== undefined),
  );
}

/** A message's reasoning under every name that templates read it by. */
function withReasoning(message: Record<string, unknown>): Record<string, unknown> {
  const reasoning = message.reasoning_content ?? message.thinking ?? message.reasoning;
  return reasoning === undefined
    ? message
    : { thinking: reasoning, ...message, reasoning_content: reasoning };
}
