/** A judge behind an OpenAI-compatible endpoint (`POST judge_url/chat/completions`, no streaming). */
import { InputError } from "../errors.ts";
import type { RunHooks } from "../events.ts";
import { pause, requestJson } from "../io/http.ts";
import { describe } from "../io/json.ts";
import type { Judge, JudgeAnswer, JudgeRequest, TokenLogprob } from "./judge.ts";

/** Where the judge is and how fast it may be asked. */
export interface ChatJudgeOptions {
  /** The interface's root, as in `https://api.openai.com/v1`. */
  readonly url: string;
  readonly model: string;
  readonly apiKey?: string;
  /** Where the key comes from, for messages. */
  readonly apiKeyEnv: string;
  /** Requests at a time. */
  readonly concurrency: number;
  /** Requests a minute at most. */
  readonly requestsPerMinute?: number;
  readonly timeoutMs?: number;
  readonly attempts?: number;
  readonly firstWaitMs?: number;
}

/** Alternatives of the first token that are asked for, as alpaca_eval asks. */
const TOP_LOGPROBS = 5;

export function chatJudge(options: ChatJudgeOptions): Judge {
  return {
    name: options.model,
    async ask(requests, onAnswer, hooks) {
      const pace = new Pace(options.requestsPerMinute);
      const stop = new AbortController();
      const signal = hooks.signal ? AbortSignal.any([hooks.signal, stop.signal]) : stop.signal;
      let next = 0;
      const work = async () => {
        for (let i; (i = next++) < requests.length && !signal.aborted;) {
          await pace.turn(signal);
          await onAnswer(i, await askOnce(requests[i]!, { options, pace, signal, hooks }));
        }
      };
      const workers = Array.from({ length: Math.min(options.concurrency, requests.length) }, async () => {
        try {
          await work();
        } catch (error) {
          stop.abort(error); // the others end with what they are at; the first error is what is told
          throw error;
        }
      });
      const failed = (await Promise.allSettled(workers)).some(({ status }) => status === "rejected");
      if (failed) throw stop.signal.reason;
    },
  };
}

async function askOnce(
  { messages, max_tokens, temperature, letters }: JudgeRequest,
  { options, pace, signal, hooks }: {
    options: ChatJudgeOptions;
    pace: Pace;
    signal: AbortSignal;
    hooks: RunHooks;
  },
): Promise<JudgeAnswer> {
  const { model, apiKey, apiKeyEnv, timeoutMs, attempts, firstWaitMs } = options;
  const start = performance.now();
  const answer = await requestJson({
    url: `${options.url.replace(/\/+$/, "")}/chat/completions`,
    whom: `the judge ${model}`,
    headers: apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` },
    accessAdvice: apiKey === undefined
      ? `No key was sent: set ${apiKeyEnv}, or name another variable with judge_api_key_env`
      : `The key was taken from ${apiKeyEnv}`,
    body: {
      model,
      messages,
      max_tokens,
      temperature,
      ...letters ? { logprobs: true, top_logprobs: TOP_LOGPROBS } : {},
    },
    ...timeoutMs === undefined ? {} : { timeoutMs },
    ...attempts === undefined ? {} : { attempts },
    ...firstWaitMs === undefined ? {} : { firstWaitMs },
    signal,
    onRetry: (problem, waitMs) => {
      pace.hold(waitMs);
      const text = `the judge ${model}: ${problem}; asking again in ${(waitMs / 1000).toFixed(1)} s`;
      hooks.onEvent?.({ type: "notice", text });
    },
  });
  return readAnswer(answer, { model, letters, seconds: (performance.now() - start) / 1000 });
}

/** As far as a chat completion is read here. */
interface ChatCompletion {
  readonly choices?: readonly {
    readonly message?: { readonly content?: string | null };
    readonly logprobs?: {
      readonly content?: readonly { readonly top_logprobs?: readonly TokenLogprob[] }[] | null;
    } | null;
  }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly total_tokens?: number;
  };
}

function readAnswer(
  answer: unknown,
  { model, letters, seconds }: { model: string; letters: readonly string[] | undefined; seconds: number },
): JudgeAnswer {
  const { choices, usage } = (answer ?? {}) as ChatCompletion;
  const choice = choices?.[0];
  const text = choice?.message?.content;
  if (!choice || (typeof text !== "string" && text !== null)) {
    throw new InputError(
      `Asking the judge ${model}: the answer holds no choices[0].message.content (${describe(answer)}: ` +
        `${JSON.stringify(answer).slice(0, 200)}). judge_url must be that of an OpenAI-compatible interface.`,
    );
  }
  const top_logprobs = choice.logprobs?.content?.[0]?.top_logprobs;
  if (letters && !top_logprobs?.length) {
    throw new InputError(
      `Asking the judge ${model}: the answer ${
        JSON.stringify(text)
      } came without log-probabilities (choices[0].` +
        "logprobs.content[0].top_logprobs), which weighing two outputs needs. Name a judge or a server that gives them.",
    );
  }
  return {
    text: text ?? "",
    ...letters ? { top_logprobs: top_logprobs! } : {},
    raw: { ...choice, total_tokens: usage?.total_tokens },
    ...usage?.prompt_tokens === undefined ? {} : { prompt_tokens: usage.prompt_tokens },
    ...usage?.completion_tokens === undefined ? {} : { completion_tokens: usage.completion_tokens },
    seconds,
  };
}

/** Lets requests go one by one, no faster than allowed, and none while the server asked to wait. */
class Pace {
  #next = 0;
  readonly #gapMs: number;

  constructor(perMinute: number | undefined) {
    this.#gapMs = perMinute === undefined ? 0 : 60_000 / perMinute;
  }

  async turn(signal: AbortSignal): Promise<void> {
    const now = performance.now();
    const at = Math.max(now, this.#next);
    this.#next = at + this.#gapMs;
    if (at > now) await pause(at - now, signal);
  }

  /** Nobody begins within the next `ms`. */
  hold(ms: number): void {
    this.#next = Math.max(this.#next, performance.now() + ms);
  }
}
