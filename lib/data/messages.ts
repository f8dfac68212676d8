/**
 * Conversations in the forms that data sets have them, brought to the one that chat templates read:
 * `[{role, content}]` with the roles system, user, assistant and tool, text content, and no null keys.
 */
import { InputError } from "../errors.ts";
import { describe } from "../io/json.ts";
import type { Message } from "./chat.ts";

/** Other names of roles, in lower case; a role that is not here stays as it is, for the template may know it. */
const ROLES: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  prompter: "user",
  gpt: "assistant",
  assistant: "assistant",
  bot: "assistant",
  chatbot: "assistant",
  chatgpt: "assistant",
  model: "assistant",
  ai: "assistant",
  system: "system",
  observation: "tool",
  tool: "tool",
};

/** Where a conversation stands, for messages: the row, and the key in it. */
export interface MessagePlace {
  readonly where: string;
  readonly key: string;
}

/**
 * The conversation that a value holds: a list of messages, a single message, or either as JSON text; undefined where it
 * is none.
 *
 * @throws {InputError} naming the message and its key, where one has no role or nothing that can be written as text
 */
export function readMessages(value: unknown, place: MessagePlace): Message[] | undefined {
  const list = isMessage(value) ? [value] : value;
  if (!Array.isArray(list) || !list.every(isMessage)) return undefined;
  return list.map((message, i) =>
    readMessage(message, { where: place.where, key: `message ${i} of ${place.key}` })
  );
}

/** JSON text that holds a conversation, as that conversation; any other value as it is. */
export function conversationInText(value: unknown): unknown {
  if (typeof value !== "string" || !/^\s*\[\s*\{\s*"/.test(value)) return value;
  try {
    const parsed: unknown = JSON.parse(value);
    const good = Array.isArray(parsed) && parsed.length > 0 &&
      parsed.every((m) => isMessage(m) && typeof (m.role ?? m.from) === "string");
    return good ? parsed : value;
  } catch {
    return value;
  }
}

type Fields = Record<string, unknown>;

function isMessage(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    ("role" in value || "from" in value);
}

function readMessage(given: Fields, { where, key }: MessagePlace): Message {
  const { role, from, content, value, ...rest } = given;
  const name = "role" in given ? role : from, said = "content" in given ? content : value;
  if (typeof name !== "string") {
    throw new InputError(
      `${where}: ${key} has ${
        describe(name)
      } as its role; a name such as user or assistant was wanted. Fix the row.`,
    );
  }
  const others = Object.entries(rest).filter(([, entry]) => entry !== null && entry !== undefined);
  const message = { role: ROLES[name.toLowerCase()] ?? name, ...Object.fromEntries(others) };
  // An assistant's turn may be its calls alone.
  if ((said === null || said === undefined) && "tool_calls" in message) return message as unknown as Message;
  return { ...message, content: textOf(said, { where, key }) };
}

/** Text, or a list of text parts as multimodal models have them. */
function textOf(content: unknown, { where, key }: MessagePlace): string {
  if (typeof content === "string") return content;
  if (Array.isArray(content)) {
    return content.map((part) => {
      if (typeof part === "string") return part;
      const { type = "text", text } = (part ?? {}) as { type?: unknown; text?: unknown };
      if (type === "text" && typeof text === "string") return text;
      throw new InputError(
        `${where}: ${key} has a part of the type ${
          JSON.stringify(type)
        } in its content; only text can be read. ` +
          "Leave such rows out.",
      );
    }).join("");
  }
  throw new InputError(
    `${where}: ${key} has ${describe(content)} as its content; text was wanted. Fix or delete the row.`,
  );
}

/** How many turns two conversations begin with in common. */
export function commonStart(a: readonly Message[], b: readonly Message[]): number {
  let n = 0;
  while (n < a.length && n < b.length && JSON.stringify(a[n]) === JSON.stringify(b[n])) n++;
  return n;
}

/** A message that says nothing: no text, and no calls. */
export function saysNothing(message: Message): boolean {
  return !message.content && !("tool_calls" in message);
}
