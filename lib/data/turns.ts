/**
 * A whole conversation as one sequence of which the assistant's turns are scored.
 */
import type { Message } from "./chat.ts";
import type { EncodedRow } from "./encoded.ts";
import { saysNothing } from "./messages.ts";
import type { Renderer } from "./renderer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { Span } from "./types.ts";

/**
 * Each assistant turn is scored as an answer to what stands before it: what the template writes beyond the generation
 * prompt, the end of the turn included. The first scored token begins the completion, the last one ends it.
 */
export function encodeTurns(messages: readonly Message[], renderer: Renderer): EncodedRow {
  const { tokenizer } = renderer;
  const whole = messages.length === 0 ? "" : renderer.whole(messages);
  const turns: Span[] = [];
  messages.forEach((message, i) => {
    if (message.role !== "assistant" || i === 0 || saysNothing(message)) return;
    const start = renderer.prompt(messages.slice(0, i));
    const end = i + 1 === messages.length ? whole : renderer.whole(messages.slice(0, i + 1));
    renderer.checkContinues(start, end);
    renderer.checkContinues(end, whole);
    turns.push([start.length, end.length]);
  });
  const { ids, spans, straddles } = encodePieces(whole, turns, tokenizer);
  const kept = spans.filter(([start, end]) => end > start);
  const first = kept[0]?.[0] ?? ids.length, last = kept.at(-1)?.[1] ?? ids.length;
  return {
    prompt: ids.slice(0, first),
    completions: [ids.slice(first, last)],
    scored: kept.map(([start, end]) => [start - first, end - first]),
    straddles,
    equal: false,
    notes: renderer.notes,
  };
}

/** The ids of a text, and the spans of its characters as spans of ids. */
function encodePieces(
  text: string,
  turns: readonly Span[],
  tokenizer: Tokenizer,
): { ids: number[]; spans: Span[]; straddles: boolean } {
  const ids = tokenizer.encode(text);
  const boundary = (at: number): number => {
    const before = tokenizer.encode(text.slice(0, at));
    return before.every((id, i) => ids[i] === id) ? before.length : -1;
  };
  const spans = turns.map(([start, end]): Span => [boundary(start), boundary(end)]);
  if (spans.every(([start, end]) => start >= 0 && end >= 0)) return { ids, spans, straddles: false };
  // A token straddles a boundary: every piece is tokenised on its own.
  const pieces: number[] = [], apart: Span[] = [];
  const add = (from: number, to: number): Span => {
    const start = pieces.length;
    if (to > from) { for (const id of tokenizer.encode(text.slice(from, to))) pieces.push(id); }
    return [start, pieces.length];
  };
  let at = 0;
  for (const [start, end] of turns) {
    add(at, start);
    apart.push(add(start, end));
    at = end;
  }
  add(at, text.length);
  return { ids: pieces, spans: apart, straddles: true };
}
