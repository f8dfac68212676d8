/**
 * The task `generate`: prompts in, completions out.
 */
import type { Message } from "../data/chat.ts";
import { z } from "../deps.ts";
import type { RunHooks } from "../events.ts";
import { complete, type CompletionSettings } from "../generate/complete.ts";
import { endTokens } from "../generate/end_tokens.ts";
import { positionsFor, readPrompts, tokenisePrompt } from "../generate/prompts.ts";
import { checkOutput, writeRows } from "../io/output.ts";
import { withAdapter } from "../load/adapter.ts";
import { closeModel, loadWeights, type OpenModel, openModel, openTokenizer } from "../load/model.ts";
import { destroyParams } from "../model/params.ts";
import { defineOptions } from "../options/options.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import { adapter, computeDtype, model, output, seed, text, wholeAbove0 } from "./shared_options.ts";

/** Options of `generate`, resolved. */
export interface GenerateOptions {
  /** Model directory, run directory or `org/name` on the hub. */
  model: string;
  /** Adapter to put on the model. */
  adapter?: string;
  /** One prompt; exactly one of `prompt` and `prompts` is given, and none with `interactive`. */
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
  /** Texts that end a completion. */
  stop?: string[];
  /** A conversation in the terminal: `openChat` is the function. */
  interactive: boolean;
  /** Number format of matmul inputs. */
  compute_dtype: "f32" | "bf16";
  /** JSONL file; without it standard output. */
  output?: string;
}

const generateShape: ShapeOf<GenerateOptions> = {
  model,
  adapter,
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
  stop: z.array(z.string().min(1)).optional().describe(
    "texts that end a completion and are no part of it; as a flag once for each, or separated by commas",
  ),
  interactive: z.boolean().default(false).describe(
    "a conversation in the terminal, through the chat template",
  ),
  compute_dtype: computeDtype,
  output,
};

/** Options of `generate`. */
export const generateOptions: OptionSet<GenerateOptions> = defineOptions<GenerateOptions>({
  task: "generate",
  summary: "Continues prompts: one prompt's completion as text, or a JSONL row for each row of prompts.",
  shape: generateShape,
  check: ({ prompt, prompts, interactive }) => {
    if (interactive) {
      return prompt === undefined && prompts === undefined
        ? []
        : ["interactive takes its prompts from the terminal; leave prompt and prompts out"];
    }
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

/** Continues `prompt`, or every row of the file `prompts`. Writes the rows to `output` where it is given. */
export async function generate(
  given: Partial<GenerateOptions>,
  hooks: RunHooks = {},
): Promise<{ rows: GenerationRow[] }> {
  const options = generateOptions.resolve(given);
  if (options.output !== undefined) {
    await checkOutput(options.output, options.prompts === undefined ? [] : [options.prompts]);
  }
  const model = await openModel(options.model, { ...hooks, adapter: options.adapter });
  try {
    return { rows: await generateRows(model, options, hooks) };
  } finally {
    closeModel(model);
  }
}

async function generateRows(
  model: OpenModel,
  options: GenerateOptions,
  hooks: RunHooks,
): Promise<GenerationRow[]> {
  const tokenizer = await openTokenizer(model);
  const prompts = options.prompts === undefined
    ? [tokenisePrompt({ index: 0, where: "prompt", value: { prompt: options.prompt! } }, tokenizer, options)]
    : await readPrompts(options.prompts, tokenizer, options);
  const positions = positionsFor(model, prompts, { maxNewTokens: options.max_new_tokens, hooks });
  const settings = settingsOf(options, await endTokens(model, tokenizer));
  const completions = await withAdapter(hooks, async (gpu) => {
    const params = await loadWeights(gpu, model, {
      ...hooks,
      trainable: false,
      settled: true,
      dtype: "auto",
    });
    try {
      return await complete(gpu, params, { tokenizer, prompts, positions, settings, hooks });
    } finally {
      destroyParams(params);
    }
  });
  const rows = prompts.map(({ index, content }, i): GenerationRow => {
    const { text, tokens, finishReason } = completions[i]!;
    return { index, prompt: content, completion: text, tokens, finish_reason: finishReason };
  });
  if (options.output !== undefined) await writeRows(options.output, rows);
  return rows;
}

/** How completions are made under some options. */
export function settingsOf(options: GenerateOptions, eosIds: readonly number[]): CompletionSettings {
  return {
    maxNewTokens: options.max_new_tokens,
    temperature: options.temperature,
    topK: options.top_k,
    topP: options.top_p,
    seed: options.seed,
    compute: options.compute_dtype,
    eosIds,
    ...(options.stop ? { stop: options.stop } : {}),
  };
}
