/**
 * A row's conversations as the chat template writes them.
 */
import { InputError } from "../errors.ts";
import type { Message } from "./chat.ts";
import type { Encoder } from "./encoded.ts";
import type { RowNote, TemplateVariables } from "./rows.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Writes the conversations of one row through the chat template. */
export class Renderer {
  readonly tokenizer: Tokenizer;
  readonly #where: string;
  readonly #variables: TemplateVariables;
  readonly #date: string | undefined;
  #merged = false;

  constructor(
    { tokenizer, chatTemplateKwargs, templateDate }: Encoder,
    { where, variables }: { where: string; variables: TemplateVariables },
  ) {
    this.tokenizer = tokenizer;
    this.#where = where;
    this.#date = templateDate;
    this.#variables = { ...chatTemplateKwargs, ...variables };
  }

  get notes(): readonly RowNote[] {
    return this.#merged ? ["systemMerged"] : [];
  }

  /** The conversation with the beginning of an answer. */
  prompt(messages: readonly Message[]): string {
    return this.#render(messages, true);
  }

  /** The conversation. */
  whole(messages: readonly Message[]): string {
    return this.#render(messages, false);
  }

  #render(messages: readonly Message[], addGenerationPrompt: boolean): string {
    const write = (list: readonly Message[]) =>
      this.tokenizer.renderChat(list, { addGenerationPrompt, variables: this.#variables, date: this.#date });
    if (this.#merged) return write(withoutSystem(messages) ?? messages);
    try {
      return write(messages);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      const merged = withoutSystem(messages), text = merged && attempt(() => write(merged));
      if (text === undefined) throw new InputError(`${this.#where}: ${error.message}`, { cause: error });
      this.#merged = true;
      return text;
    }
  }

  /** Throws where the template writes a conversation otherwise once it goes on. */
  checkContinues(start: string, whole: string, answer: readonly Message[] = []): void {
    if (whole.startsWith(start)) return;
    const [first] = answer;
    if (first && first.role !== "assistant") {
      throw new InputError(
        `${this.#where}: an answer begins with a turn of the role ${
          JSON.stringify(first.role)
        }; the assistant's was ` +
          "wanted, after what chosen and rejected have in common. Fix or delete the row.",
      );
    }
    throw new InputError(
      `${this.#where}: the chat template does not write the conversation as a continuation of its prompt: the ` +
        `prompt ends in ${JSON.stringify(start.slice(-40))}, the whole conversation has ${
          JSON.stringify(whole.slice(Math.max(0, start.length - 40), start.length))
        } there. Use a template that only appends.`,
    );
  }
}

function attempt(work: () => string): string | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** For templates that refuse a system message: it goes before the first user's text. */
function withoutSystem(messages: readonly Message[]): Message[] | undefined {
  const [system, first, ...rest] = messages;
  if (system?.role !== "system" || first?.role !== "user") return undefined;
  return [{ ...first, content: `${system.content}\n\n${first.content}` }, ...rest];
}
