/** A local server that speaks an OpenAI-compatible endpoint's protocol, well or badly. */

/** A request's body, as far as answers depend on it. */
export interface Asked {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly max_tokens: number;
  readonly temperature: number;
  readonly logprobs?: boolean;
  readonly top_logprobs?: number;
  readonly stream?: boolean;
}

/** A running server. */
export interface JudgeServer {
  /** Ends in `/v1`. */
  readonly url: string;
  /** Every request that arrived, in order. */
  readonly asked: readonly Asked[];
  readonly authorizations: readonly (string | null)[];
  close(): Promise<void>;
}

/** Starts a server on a free port; `answer` sees the request and how many came before it. */
export function serveJudge(
  answer: (asked: Asked, count: number) => Response | Promise<Response>,
): JudgeServer {
  const asked: Asked[] = [], authorizations: (string | null)[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    if (new URL(request.url).pathname !== "/v1/chat/completions") {
      return new Response("not here", { status: 404 });
    }
    authorizations.push(request.headers.get("authorization"));
    asked.push(await request.json());
    return await answer(asked.at(-1)!, asked.length - 1);
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/v1`,
    asked,
    authorizations,
    close: () => server.shutdown(),
  };
}

/** A chat completion with this text, and log-probabilities of the alternatives to its first token. */
export function completion(text: string, logprobs?: Readonly<Record<string, number>>): Response {
  const top_logprobs = Object.entries(logprobs ?? {}).map(([token, logprob]) => ({
    token,
    logprob,
    bytes: null,
  }));
  return Response.json({
    id: "chatcmpl-1",
    object: "chat.completion",
    choices: [{
      index: 0,
      finish_reason: "length",
      message: { role: "assistant", content: text },
      logprobs: logprobs ? { content: [{ token: text, logprob: logprobs[text] ?? 0, top_logprobs }] } : null,
    }],
    usage: { prompt_tokens: 100, completion_tokens: 1, total_tokens: 101 },
  });
}

/** An answer whose connection breaks in the middle of its body. */
export function broken(): Response {
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode('{"choices": [{"message": {"content": "m'));
      controller.error(new Error("reset"));
    },
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}
