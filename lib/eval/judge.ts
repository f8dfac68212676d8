/** What a judge is: something that answers conversations. */
import type { Message } from "../data/chat.ts";
import type { RunHooks } from "../events.ts";

/** What a judge is asked. */
export interface JudgeRequest {
  readonly messages: readonly Message[];
  readonly max_tokens: number;
  readonly temperature: number;
  /** The answer's first token is wanted with its likeliest alternatives; these tokens matter. */
  readonly letters?: readonly string[];
}

/** A token that the answer might have begun with. */
export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
}

/** What a judge answered. */
export interface JudgeAnswer {
  readonly text: string;
  /** Of the first token, where they were asked for. */
  readonly top_logprobs?: readonly TokenLogprob[];
  /** The answer as it came, to be kept. */
  readonly raw: unknown;
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly seconds: number;
}

/** Answers conversations: a remote model, or one of ours. */
export interface Judge {
  readonly name: string;
  /** Asks everything, several at a time; `onAnswer` is awaited for each answer as it comes. */
  ask(
    requests: readonly JudgeRequest[],
    onAnswer: (index: number, answer: JudgeAnswer) => Promise<void>,
    hooks: RunHooks,
  ): Promise<void>;
}
