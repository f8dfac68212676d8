/**
 * What a row becomes on its way to an example, and what that takes.
 */
import type { RowNote, TemplateVariables } from "./rows.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { Span } from "./types.ts";

/** A row's ids before anything is cut or dropped. */
export interface EncodedRow {
  readonly prompt: number[];
  /** A completion that says nothing has no tokens here, not even its end. */
  readonly completions: number[][];
  /** Of a conversation of several answers: what is scored of its completion. */
  readonly scored?: readonly Span[];
  readonly straddles: boolean;
  /** Chosen and rejected are the same text. */
  readonly equal: boolean;
  readonly notes: readonly RowNote[];
}

/** What encoding a row needs. */
export interface Encoder {
  readonly tokenizer: Tokenizer;
  /** Given to the chat template of every row; a row's own go before. */
  readonly chatTemplateKwargs?: TemplateVariables;
  /** The day that templates which write today's date are told, so that ids do not change at midnight. */
  readonly templateDate?: string;
}
