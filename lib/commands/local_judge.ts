/** A judge that is a model of ours: letters are weighed by a forward pass, grades are generated. */
import { InputError } from "../errors.ts";
import { type Answerer, hasTemplate, promptOf, withAnswerer } from "../eval/answerer.ts";
import type { Judge, JudgeAnswer, JudgeRequest } from "../eval/judge.ts";
import type { EvaluateOptions } from "../eval/options.ts";
import type { RunHooks } from "../events.ts";
import { withAdapter } from "../load/adapter.ts";
import { openModel, openTokenizer } from "../load/model.ts";
import { longestInput } from "../train/step.ts";
import type { Example } from "../data/types.ts";
import { scoreWith } from "./score.ts";

/** Requests that are judged together: what is on disk after each. */
const PIECE = 16;

/** The judge is loaded when it is asked, and as often: its name and settings are all that is kept. */
export function localJudge(model: string, options: EvaluateOptions): Judge {
  return {
    name: model,
    async ask(requests, onAnswer, hooks) {
      if (requests.length === 0) return;
      const weighing = requests.every(({ letters }) => letters !== undefined);
      if (weighing) await weigh(model, requests, { onAnswer, options, hooks });
      else {
        await withAnswerer(model, { hooks }, async (answer) => {
          await grade(answer, requests, { onAnswer, options });
        });
      }
    },
  };
}

type OnAnswer = Parameters<Judge["ask"]>[1];

/** The log-probability of each letter as the answer's first token, by the pass that `score` makes. */
async function weigh(
  name: string,
  requests: readonly JudgeRequest[],
  { onAnswer, options, hooks }: { onAnswer: OnAnswer; options: EvaluateOptions; hooks: RunHooks },
): Promise<void> {
  const model = await openModel(name, hooks);
  const tokenizer = await openTokenizer(model);
  const { chat } = options;
  const templated = chat ?? hasTemplate(tokenizer);
  const examples = requests.map((request, index) =>
    letterExample(request, { index, tokenizer, chat, templated })
  );
  const longest = longestInput(examples);
  const positions = model.config.max_position_embeddings;
  if (longest > positions) {
    throw new InputError(
      `Judging with ${name}: the longest question to the judge has ${longest} tokens, but the model has ` +
        `max_position_embeddings ${positions}. Take a judge with more, or shorten the outputs (max_new_tokens).`,
    );
  }
  await withAdapter(hooks, async (gpu) => {
    const start = performance.now();
    const scores = await scoreWith(gpu, model, {
      examples,
      options: { token_budget: "auto", share_prompt: true, compute_dtype: options.compute_dtype },
      longest,
      hooks,
    });
    const seconds = (performance.now() - start) / 1000 / requests.length;
    for (const [i, { sums }] of scores.entries()) {
      const top_logprobs = requests[i]!.letters!.map((token, l) => ({ token, logprob: sums[l]! }));
      const text = top_logprobs.reduce((a, b) => a.logprob >= b.logprob ? a : b).token;
      await onAnswer(i, { text, top_logprobs, raw: { text, top_logprobs }, seconds });
    }
  });
}

function letterExample(
  { messages, letters }: JudgeRequest,
  { tokenizer, ...context }: Parameters<typeof promptOf>[1],
): Example {
  const { ids } = promptOf(messages, { tokenizer, ...context });
  const completions = letters!.map((letter) => tokenizer.encode(letter));
  const long = completions.findIndex((tokens) => tokens.length !== 1);
  if (long >= 0) {
    throw new InputError(
      `Judging with this model: its tokenizer makes ${completions[long]!.length} tokens of the letter ` +
        `${JSON.stringify(letters![long])}; a letter must be one token to be weighed. Take another judge.`,
    );
  }
  return { index: context.index, prompt: ids, completions };
}

async function grade(
  answer: Answerer,
  requests: readonly JudgeRequest[],
  { onAnswer, options }: { onAnswer: OnAnswer; options: EvaluateOptions },
): Promise<void> {
  const { chat, seed, compute_dtype } = options;
  for (let from = 0; from < requests.length; from += PIECE) {
    const piece = requests.slice(from, from + PIECE);
    const start = performance.now();
    const made = await answer(piece.map(({ messages }) => messages), {
      ...chat === undefined ? {} : { chat },
      max_new_tokens: Math.max(...piece.map(({ max_tokens }) => max_tokens)),
      temperature: piece[0]!.temperature,
      top_p: 1,
      seed,
      compute_dtype,
    });
    const seconds = (performance.now() - start) / 1000 / piece.length;
    for (const [i, { text, tokens }] of made.entries()) {
      const kept: JudgeAnswer = { text, raw: { text }, completion_tokens: tokens.length, seconds };
      await onAnswer(from + i, kept);
    }
  }
}
