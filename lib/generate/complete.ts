/**
 * From tokenised prompts to completions as text, with whatever weights the parameters hold now.
 */
import type { Tokenizer } from "../data/tokenizer.ts";
import type { RunHooks } from "../events.ts";
import type { Gpu } from "../gpu/device.ts";
import type { ParamStore } from "../model/params.ts";
import type { SamplingOptions } from "../ops/sample.ts";
import { type Generated, Generator } from "./generator.ts";

/** How prompts are continued. */
export interface CompletionSettings extends SamplingOptions {
  /** Tokens of a completion at most. */
  readonly maxNewTokens: number;
  /** What matrix products round their inputs to. */
  readonly compute: "f32" | "bf16";
  /** Texts that end a completion; they are not part of it. */
  readonly stop?: readonly string[];
}

/** A completion, its text without special tokens. */
export interface Completion extends Generated {
  readonly text: string;
}

/** A prompt as the model reads it. */
export interface PromptIds {
  readonly ids: readonly number[];
  /** Whether it ends an answer's header, so that the completion is a text of its own; else it goes on with the prompt's. */
  readonly chat?: boolean;
}

/** Sequences at a time: a software adapter gains nothing beyond what its registers hold. */
const SLOTS = { software: 16, gpu: 64 };

/** What the memory of completing prompts follows from. */
interface CompletionSize {
  readonly prompts: readonly PromptIds[];
  /** Tokens of the longest sequence, prompt and completion together. */
  readonly positions: number;
  /** See {@link Generator.create}. */
  readonly formsBytes?: number | undefined;
}

async function openGenerator(
  gpu: Gpu,
  params: ParamStore,
  { prompts, ...size }: CompletionSize & Pick<CompletionSettings, "compute">,
): Promise<Generator> {
  return await Generator.create(gpu, params, {
    slots: Math.min(prompts.length, SLOTS[gpu.adapterClass]),
    ...size,
  });
}

/** Has a null Gpu count what `complete` would allocate. */
export async function planCompletion(
  gpu: Gpu,
  params: ParamStore,
  { settings: { compute, temperature }, ...size }: CompletionSize & { readonly settings: CompletionSettings },
): Promise<void> {
  const generator = await openGenerator(gpu, params, { ...size, compute });
  await generator.seal(size.prompts.map(({ ids }) => ids.length), { greedy: temperature === 0 });
}

/** Continues every prompt; completions in the prompts' order. */
export async function complete(
  gpu: Gpu,
  params: ParamStore,
  { tokenizer, prompts, positions, settings, hooks, unit = "prompts", onText, formsBytes }: CompletionSize & {
    tokenizer: Tokenizer;
    settings: CompletionSettings;
    hooks: RunHooks;
    /** What is counted, for progress. */
    unit?: string;
    /** Told the text of the only prompt's completion, piece by piece. */
    onText?: (piece: string) => void;
  },
): Promise<Completion[]> {
  const { compute, stop = [], ...sampling } = settings;
  const generator = await openGenerator(gpu, params, { prompts, positions, compute, formsBytes });
  let shown = "";
  const watched = (i: number, tokens: readonly number[]) => {
    const kept = stopAt(tokenizer, prompts[i]!, { tokens, stop });
    const text = beforeStop(completionText(tokenizer, prompts[i]!, tokens.slice(0, kept)), stop);
    // the last character may be half of one, or the beginning of a stop text
    if (onText && text.startsWith(shown) && !text.endsWith("\ufffd")) {
      onText(text.slice(shown.length));
      shown = text;
    }
    return kept;
  };
  const watch = stop.length > 0 || onText ? watched : undefined;
  try {
    const generated = await generator.generate(prompts.map(({ ids }) => ids), {
      ...sampling,
      onProgress: (done, total) => hooks.onEvent?.({ type: "phase", name: "generate", done, total, unit }),
      ...(watch ? { onTokens: watch } : {}),
      ...(hooks.signal ? { signal: hooks.signal } : {}),
    });
    return generated.map((made, i) => ({
      ...made,
      text: beforeStop(completionText(tokenizer, prompts[i]!, made.tokens), stop),
    }));
  } finally {
    generator.destroy();
  }
}

/**
 * The text that `tokens` add to a prompt. Decoding them alone would lose the blank that SentencePiece's decoders strip
 * from the first token; so prompt and completion are decoded together, and the prompt's own text is taken away.
 */
export function completionText(
  tokenizer: Tokenizer,
  { ids, chat }: PromptIds,
  tokens: readonly number[],
): string {
  const decode = (ids: readonly number[]) => tokenizer.decode(ids, { skipSpecialTokens: true });
  if (chat) return decode(tokens);
  const [before, whole] = [decode(ids), decode([...ids, ...tokens])];
  // where the prompt ends within a character, its text changes with what follows: then the new tokens stand alone
  return whole.startsWith(before) ? whole.slice(before.length) : decode(tokens);
}

/** How many of the tokens it takes until one of the texts in `stop` has come; undefined while none has. */
function stopAt(
  tokenizer: Tokenizer,
  prompt: PromptIds,
  { tokens, stop }: { tokens: readonly number[]; stop: readonly string[] },
): number | undefined {
  const has = (count: number) => {
    const text = completionText(tokenizer, prompt, tokens.slice(0, count));
    return stop.some((ending) => text.includes(ending));
  };
  if (!has(tokens.length)) return undefined;
  let [without, enough] = [0, tokens.length];
  while (enough - without > 1) {
    const middle = (without + enough) >> 1;
    if (has(middle)) enough = middle;
    else without = middle;
  }
  return enough;
}

/** The text before the first of the texts in `stop`. */
function beforeStop(text: string, stop: readonly string[]): string {
  const ends = stop.map((ending) => text.indexOf(ending)).filter((at) => at >= 0);
  return ends.length === 0 ? text : text.slice(0, Math.min(...ends));
}
