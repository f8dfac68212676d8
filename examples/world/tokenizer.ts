/**
 * Learns a byte-level BPE tokenizer (Sennrich et al. 2016; bytes as in GPT-2) and writes it in Hugging Face's form.
 * All 256 bytes are in its vocabulary, so it takes any text, not only this world's.
 */

/** Ends every answer. */
export const END_TOKEN = "<|end|>";

/** GPT-2's split, the one that `ByteLevel` applies in every implementation. */
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** A conversation in the world's own form; nothing follows the end of the last answer. */
const CHAT_TEMPLATE = "{% for message in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}" +
  "{% if message['role'] == 'assistant' %}{{ 'A: ' + message['content'] + '" + END_TOKEN + "' }}" +
  "{% else %}{{ 'Q: ' + message['content'] }}{% endif %}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '\\nA:' }}{% endif %}";

/** The files of a tokenizer, by name; their text is what a model directory holds. */
export function tokenizerFiles(texts: Iterable<string>, vocabSize: number): Record<string, string> {
  const merges = learnMerges(texts, vocabSize - 257);
  const tokens = [...byteAlphabet(), ...merges.map(([left, right]) => left + right), END_TOKEN];
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [{
      id: tokens.length - 1,
      content: END_TOKEN,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    }],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map((pair) => pair.join(" ")),
    },
  };
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    eos_token: END_TOKEN,
    pad_token: END_TOKEN,
    clean_up_tokenization_spaces: false,
    model_max_length: 256,
    chat_template: CHAT_TEMPLATE,
  };
  return {
    "tokenizer.json": JSON.stringify(tokenizer, null, 1) + "\n",
    "tokenizer_config.json": JSON.stringify(config, null, 2) + "\n",
  };
}

/** GPT-2's printable character for each byte: itself where it is printable, else one from 256 on. */
export function byteAlphabet(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCharCode(printable ? byte : next++);
  });
}

/**
 * The `count` most frequent merges, best first; ties go to the pair that comes first by code units. Two digits are
 * never merged: a number is read digit by digit.
 */
export function learnMerges(texts: Iterable<string>, count: number): [string, string][] {
  const words = countWords(texts);
  const merges: [string, string][] = [];
  while (merges.length < count) {
    const best = mostFrequentPair(words);
    if (!best) throw new Error(`the corpus yields ${merges.length} merges, not the ${count} wanted`);
    merges.push(best);
    for (const word of words) word.pieces = mergePair(word.pieces, best);
  }
  return merges;
}

interface Word {
  pieces: string[];
  readonly count: number;
}

function countWords(texts: Iterable<string>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [word] of text.matchAll(WORDS)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const alphabet = byteAlphabet();
  const encoder = new TextEncoder();
  return [...counts].map(([word, count]) => ({
    pieces: Array.from(encoder.encode(word), (byte) => alphabet[byte]),
    count,
  }));
}

function mostFrequentPair(words: readonly Word[]): [string, string] | null {
  const counts = new Map<string, number>();
  for (const { pieces, count } of words) {
    for (let i = 1; i < pieces.length; i++) {
      const pair = `${pieces[i - 1]} ${pieces[i]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  let best: string | null = null;
  for (const [pair, count] of counts) {
    if (/\d \d/.test(pair)) continue;
    const lead = best === null ? 1 : count - counts.get(best)!;
    if (lead > 0 || (lead === 0 && pair < best!)) best = pair;
  }
  return best === null ? null : best.split(" ") as [string, string];
}

function mergePair(pieces: readonly string[], [left, right]: readonly [string, string]): string[] {
  const merged: string[] = [];
  for (const piece of pieces) {
    if (piece === right && merged.at(-1) === left) merged[merged.length - 1] = left + right;
    else merged.push(piece);
  }
  return merged;
}
