/**
 * AlpacaEval 2's judging prompt: `alpaca_eval_clf.txt` of the evaluator `weighted_alpaca_eval_gpt4_turbo` in
 * alpaca_eval 0.6.6 (https://github.com/tatsu-lab/alpaca_eval, Apache License 2.0), word for word.
 */
import type { JudgeRequest, TokenLogprob } from "./judge.ts";
import { fillTemplate } from "./template.ts";

/** What the judge calls the outputs, in the order in which it is shown them. */
export const LETTERS = ["m", "M"] as const;

const SYSTEM =
  "You are a highly efficient assistant, who evaluates and selects the best large language model (LLMs) " +
  "based on the quality of their responses to a given instruction. This process will be used to create a leaderboard " +
  "reflecting the most accurate and human-preferred answers.";

const USER =
  `I require a leaderboard for various large language models. I'll provide you with prompts given to these \
models and their corresponding outputs. Your task is to assess these responses, and select the model that produces the \
best output from a human perspective.

## Instruction

{
    "instruction": """{instruction}""",
}

## Model Outputs

Here are the unordered outputs from the models. Each output is associated with a specific model, identified by a \
unique model identifier.

{
    {
        "model_identifier": "m",
        "output": """{output_1}"""
    },
    {
        "model_identifier": "M",
        "output": """{output_2}"""
    }
}

## Task

Evaluate the models based on the quality and relevance of their outputs, and select the model that generated the best \
output. Answer by providing the model identifier of the best model. We will use your output as the name of the best \
model, so make sure your output only contains one of the following model identifiers and nothing else (no quotes, no \
spaces, no new lines, ...): m or M.

## Best Model Identifier`;

/** Asks which of two outputs is better: one token, at temperature 1, with its likeliest alternatives. */
export function comparison(instruction: string, output_1: string, output_2: string): JudgeRequest {
  return {
    messages: [
      { role: "system", content: SYSTEM },
      { role: "user", content: fillTemplate(USER, { instruction, output_1, output_2 }) },
    ],
    max_tokens: 1,
    temperature: 1,
    letters: LETTERS,
  };
}

/**
 * The preference that the first token's log-probabilities give: 1 where the first output is surely better, 2 where the
 * second is; `null` where neither letter is among them. A letter that is not there counts as impossible.
 */
export function weighedPreference(alternatives: readonly TokenLogprob[]): number | null {
  const [first, second] = LETTERS.map((letter) =>
    alternatives.find(({ token }) => token === letter)?.logprob ?? -Infinity
  ) as [number, number];
  if (first === -Infinity && second === -Infinity) return null;
  return 2 - 1 / (1 + Math.exp(second - first));
}
