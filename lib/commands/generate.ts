/**
 * The task `generate`: prompts in, completions out.
 */
import type { Message } from "../data/chat.ts";
import { outline, type RawRow, readRows } from "../data/source.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { destroyParams } from "../model/params.ts";
import { endTokens } from "../generate/end_tokens.ts";
import { type Generated, Generator } from "../generate/generator.ts";
import { loadWeights, type OpenModel, openModel, openTokenizer } from "../load/model.ts";
import type { RunHooks } from "../events.ts";
import { withAdapter } from "../load/adapter.ts";
import { computeDtype, model, output, seed, text, wholeAbove0 } from "./shared_options.ts";
import { z } from "../deps.ts";
import { defineOptions } from "../options/options.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import { checkOutput, writeRows } from "../io/output.ts";

/** Options of `generate`, resolved. */
export interface GenerateOptions {
  /** Model directory, run directory or `org/name` on the hub. */
  model: string;
  /** One prompt; exactly one of `prompt` and `prompts` is given. */
  prompt?: string;
  /** JSONL file of rows with `prompt`. */
  prompts?: string;
  /** Apply the chat template; without it only to message lists. */
  chat?: boolean;
  /** Tokens to generate at most. */
  max_new_tokens: number;
  /** 0: greedy. */
  temperature: number;
  /** 0: off. */
  top_k: number;
  /** Share of the probability that is sampled from, above 0 and at most 1. */
  top_p: number;
  /** Seed of the sampling. */
  seed: number;
  /** Number format of matmul inputs. */
  compute_dtype: "f32" | "bf16";
  /** JSONL file; without it standard output. */
  output?: string;
}

const generateShape: ShapeOf<GenerateOptions> = {
  model,
  prompt: z.string().optional().describe(
    "one prompt; its completion is printed. An empty one leaves the BOS token alone",
  ),
  prompts: text().optional().describe(
    "JSONL file of rows with prompt (text or a list of messages)",
  ),
  chat: z.boolean().optional().describe("apply the chat template; by default only to lists of messages"),
  max_new_tokens: wholeAbove0().default(128).describe("tokens to generate at most"),
  temperature: z.number().min(0).default(0).describe(
    "0: always the likeliest token; 1: the model's distribution",
  ),
  top_k: z.int().min(0).default(0).describe("sample from the likeliest k tokens only; 0: all"),
  top_p: z.number().gt(0).max(1).default(1).describe(
    "sample from the likeliest tokens that make up this share",
  ),
  seed: seed.describe("seed of the sampling"),
  compute_dtype: computeDtype,
  output,
};

/** Options of `generate`. */
export const generateOptions: OptionSet<GenerateOptions> = defineOptions<GenerateOptions>({
  task: "generate",
  summary: "Continues prompts: one prompt's completion as text, or a JSONL row for each row of prompts.",
  shape: generateShape,
  check: ({ prompt, prompts }) => {
    if (prompt !== undefined && prompts !== undefined) {
      return ["prompt and prompts are both given, wanted: one"];
    }
    return prompt === undefined && prompts === undefined
      ? ["prompt (--prompt) or prompts (--prompts) is missing"]
      : [];
  },
});

/** One prompt and what the model made of it. */
export interface GenerationRow {
  /** Zero-based row of the prompts' file. */
  readonly index: number;
  /** As given. */
  readonly prompt: string | readonly Message[];
  /** The new text, without special tokens. */
  readonly completion: string;
  /** The new tokens, the end token included. */
  readonly tokens: readonly number[];
  /** `stop`: the model ended the completion; `length`: it had no more room. */
  readonly finish_reason: "stop" | "length";
}

/** Sequences at a time: a software adapter gains nothing beyond what its registers hold. */
const SLOTS = { software: 16, gpu: 64 };

interface Prompt {
  readonly index: number;
  readonly where: string;
  readonly content: string | readonly Message[];
  readonly ids: readonly number[];
}

/** Continues `prompt`, or every row of the file `prompts`. Writes the rows to `output` where it is given. */
export async function generate(
  given: Partial<GenerateOptions>,
  hooks: RunHooks = {},
): Promise<{ rows: GenerationRow[] }> {
  const options = generateOptions.resolve(given);
  if (options.output !== undefined) await checkOutput(options.output);
  const model = await openModel(options.model, hooks);
  try {
    return { rows: await generateRows(model, options, hooks) };
  } finally {
    model.directory.close();
  }
}

async function generateRows(
  model: OpenModel,
  options: GenerateOptions,
  hooks: RunHooks,
): Promise<GenerationRow[]> {
  const tokenizer = await openTokenizer(model);
  const prompts = await readPrompts(tokenizer, options);
  const positions = positionsFor(model, prompts, { options, hooks });
  const eosIds = await endTokens(model, tokenizer);
  const results = await withAdapter(hooks, async (gpu) => {
    return await continuePrompts(gpu, { model, prompts, positions, eosIds, options, hooks });
  });
  const rows = prompts.map(({ index, content }, i): GenerationRow => {
    const { tokens, finishReason } = results[i]!;
    const completion = tokenizer.decode(tokens, { skipSpecialTokens: true });
    return { index, prompt: content, completion, tokens, finish_reason: finishReason };
  });
  if (options.output !== undefined) await writeRows(options.output, rows);
  return rows;
}

async function continuePrompts(
  gpu: Gpu,
  { model, prompts, positions, eosIds, options, hooks }: {
    model: OpenModel;
    prompts: readonly Prompt[];
    positions: number;
    eosIds: readonly number[];
    options: GenerateOptions;
    hooks: RunHooks;
  },
): Promise<Generated[]> {
  const params = await loadWeights(gpu, model, { ...hooks, trainable: false });
  const slots = Math.min(prompts.length, SLOTS[gpu.adapterClass]);
  const compute = options.compute_dtype;
  const generator = await Generator.create(gpu, params, { slots, positions, compute });
  try {
    return await generator.generate(prompts.map(({ ids }) => ids), {
      maxNewTokens: options.max_new_tokens,
      temperature: options.temperature,
      topK: options.top_k,
      topP: options.top_p,
      seed: options.seed,
      eosIds,
      onProgress: (done, total) => {
        hooks.onEvent?.({ type: "phase", name: "generate", done, total, unit: "prompts" });
      },
      ...(hooks.signal ? { signal: hooks.signal } : {}),
    });
  } finally {
    generator.destroy();
    destroyParams(params);
  }
}

async function readPrompts(tokenizer: Tokenizer, options: GenerateOptions): Promise<Prompt[]> {
  const { prompt, prompts: path, chat } = options;
  if (path === undefined) {
    return [tokenisePrompt({ index: 0, where: "prompt", value: { prompt: prompt! } }, tokenizer, chat)];
  }
  const prompts: Prompt[] = [];
  for await (const row of readRows(path)) prompts.push(tokenisePrompt(row, tokenizer, chat));
  if (prompts.length === 0) throw new InputError(`${path}: holds no rows; a prompt was wanted.`);
  return prompts;
}

/** Text with the tokenizer's own special tokens, conversations as the chat template writes them. */
function tokenisePrompt(
  { index, where, value }: RawRow,
  tokenizer: Tokenizer,
  chat: boolean | undefined,
): Prompt {
  const content = (value as { prompt?: unknown } | null)?.prompt;
  const messages = typeof content === "string"
    ? chat ? [{ role: "user", content }] : undefined
    : messageList(content);
  if (typeof content !== "string" && !messages) {
    throw new InputError(
      `${where}: a row of the wrong shape, ${
        outline(value)
      }. Wanted: {prompt} as text, or as a list of messages ` +
        "[{role, content}].",
    );
  }
  if (messages && chat === false) {
    throw new InputError(
      `${where}: the prompt is a list of messages, which only the chat template can write. Leave --no-chat out.`,
    );
  }
  const ids = messages
    ? tokenizer.encode(tokenizer.renderChat(messages, { addGenerationPrompt: true }))
    : tokenizer.encode(content as string, { specialTokens: true });
  if (ids.length === 0) {
    throw new InputError(
      `${where}: the prompt is empty, and this tokenizer has no BOS to begin with. Give some text.`,
    );
  }
  return { index, where, content: content as string | Message[], ids };
}

function messageList(value: unknown): Message[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const good = value.every((m) => typeof m?.role === "string" && typeof m?.content === "string");
  return good ? value as Message[] : undefined;
}

/** Tokens of the longest sequence; within the model's positions, if need be with fewer new tokens than asked for. */
function positionsFor(
  { config }: OpenModel,
  prompts: readonly Prompt[],
  { options, hooks }: { options: GenerateOptions; hooks: RunHooks },
): number {
  const most = config.max_position_embeddings;
  let limited = 0;
  for (const { ids, where } of prompts) {
    if (ids.length >= most) {
      throw new InputError(
        `${where}: the prompt has ${ids.length} tokens; the model has max_position_embeddings ${most}, which leaves ` +
          "no room for a new one. Shorten the prompt.",
      );
    }
    if (ids.length + options.max_new_tokens > most) limited++;
  }
  if (limited > 0) {
    const text =
      `${limited} of ${prompts.length} prompts: fewer than ${options.max_new_tokens} new tokens fit, ` +
      `for the model has max_position_embeddings ${most}`;
    hooks.onEvent?.({ type: "notice", text });
  }
  const longest = prompts.reduce((length, { ids }) => Math.max(length, ids.length), 0);
  return Math.min(most, longest + options.max_new_tokens);
}
