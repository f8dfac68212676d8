/**
 * Where @huggingface/tokenizers 0.2 departs from the Rust library: its definition is rewritten into one that it
 * runs the same way, its decoders are corrected, and what it would silently get wrong is refused.
 */
import { InputError } from "../errors.ts";
import { Bpe, type BpeDefinition } from "./bpe.ts";

type Json = Record<string, unknown>;

/** The library's decoders, as far as they are touched here. */
interface DecoderNode {
  readonly config?: { readonly type?: string };
  readonly decoders?: readonly (DecoderNode | null)[];
  decode_chain(tokens: string[]): string[];
}

/**
 * A `tokenizer.json` that the JavaScript library runs as the Rust library runs the original.
 *
 * @throws {InputError} naming the feature of `file` that neither does alike
 */
export function repairDefinition(definition: Json, file: string): Json {
  const refuse = (what: string) =>
    new InputError(`${file}: ${what} is not supported. Use a tokenizer saved without it.`);
  for (const token of (definition.added_tokens ?? []) as Json[]) {
    if (token.single_word) throw refuse(`the added token ${JSON.stringify(token.content)} with single_word`);
  }
  const absent = {
    decoder: null,
    post_processor: null,
    pre_tokenizer: null,
    normalizer: null,
    added_tokens: [],
  };
  const whole: Json = { ...absent, ...definition };
  if (typeof whole.model !== "object" || whole.model === null) {
    throw new InputError(`${file}: no "model" in this tokenizer; fetch the file again.`);
  }
  if (!Array.isArray(whole.added_tokens)) whole.added_tokens = [];
  return { ...whole, pre_tokenizer: repairPreTokenizer(whole.pre_tokenizer as Json | null, refuse) };
}

function repairPreTokenizer(node: Json | null, refuse: (what: string) => InputError): Json | null {
  if (!node) return null;
  switch (node.type) {
    case "Sequence": {
      const inner = node.pretokenizers as Json[];
      return { ...node, pretokenizers: inner.map((entry) => repairPreTokenizer(entry, refuse)) };
    }
    case "Metaspace": {
      // Files of before prepend_scheme say add_prefix_space; and the library never splits.
      const scheme = node.prepend_scheme ?? (node.add_prefix_space === false ? "never" : "always");
      const fixed = { ...node, prepend_scheme: scheme };
      if (node.split === false) return fixed;
      return { type: "Sequence", pretokenizers: [fixed, merged((node.replacement ?? "▁") as string, true)] };
    }
    case "Split": {
      const behavior = String(node.behavior).toLowerCase();
      if (behavior === "isolated" || behavior === "removed") return node;
      const text = (node.pattern as { String?: string }).String;
      const next = behavior === "mergedwithnext";
      if (text !== undefined && [...text].length === 1 && (next || behavior === "mergedwithprevious")) {
        return merged(text, next);
      }
      throw refuse(`a Split pre-tokenizer with behavior ${JSON.stringify(node.behavior)}`);
    }
    default:
      return node;
  }
}

/** A split that keeps each `char` with what follows it (or precedes it), written as an isolating one. */
function merged(char: string, next: boolean): Json {
  const c = char.replace(/[\\\]\[^$.*+?(){}|/-]/g, "\\$&");
  const pattern = next ? `${c}[^${c}]*|[^${c}]+` : `[^${c}]*${c}|[^${c}]+`;
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

/** Whether a model is the kind of BPE that `Bpe` does: no affixes on words, no merges left to chance. */
function isPlainBpe(model: Json): boolean {
  return model.type === "BPE" && !model.continuing_subword_prefix && !model.end_of_word_suffix &&
    !model.dropout;
}

/** Sets the library up without a BPE's merges, and gives it the faster encoder instead. */
export function replaceBpe<T>(definition: Json, setUp: (definition: Json) => T & { model: unknown }): T {
  const model = definition.model as Json;
  if (!isPlainBpe(model)) return setUp(definition);
  const bpe = new Bpe(model as unknown as BpeDefinition);
  const library = setUp({ ...definition, model: { ...model, merges: [] } });
  (library.model as { encode: (words: string[]) => string[] }).encode = (words) => bpe.encode(words);
  return library;
}

/** Bytes that are no UTF-8 decode to one replacement character each, and a byte order mark stays. */
export function repairDecoder(decoder: unknown): void {
  const node = decoder as DecoderNode | null;
  if (!node) return;
  for (const inner of node.decoders ?? []) repairDecoder(inner);
  if (node.config?.type === "ByteFallback") node.decode_chain = decodeByteFallback;
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeByteFallback(tokens: string[]): string[] {
  const out: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length === 0) return;
    try {
      out.push(strictUtf8.decode(Uint8Array.from(bytes)));
    } catch {
      out.push(..."\ufffd".repeat(bytes.length));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const match = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
    if (match) bytes.push(parseInt(match[1], 16));
    else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}
