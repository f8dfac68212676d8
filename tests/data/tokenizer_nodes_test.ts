/**
 * Every kind of node of `tokenizer.json`, and every field of it, against the Rust library: 2,000 strings of many scripts
 * each (`tests/golden/tokenizer_nodes.py`).
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { fnv } from "../fnv.ts";
import { readDecoder } from "../../lib/data/tokenizer/decoders.ts";
import { Fields } from "../../lib/data/tokenizer/fields.ts";
import { readNormalizer } from "../../lib/data/tokenizer/normalizers.ts";
import { Pipeline } from "../../lib/data/tokenizer/pipeline.ts";
import { cutText, readPreTokenizer } from "../../lib/data/tokenizer/pre_tokenizers.ts";
import { InputError } from "../../lib/errors.ts";

interface Case {
  node: Record<string, unknown>;
  /** Eight hex digits for every ten inputs. */
  hashes?: string;
  /** The library refuses the node, or breaks over some input. */
  error?: string;
}

interface Golden {
  strings: string[];
  chains: string[][];
  normalizers: Case[];
  pre_tokenizers: Case[];
  decoders: Case[];
  tokenizers: Case[];
}

const golden: Golden = JSON.parse(
  await Deno.readTextFile(new URL("../fixtures/tokenizers/nodes.json", import.meta.url)),
);

/** Nodes that the library knows and that are refused here, by what the message says. */
const REFUSED: readonly [part: string, message: string][] = [
  ['"dropout":0.5', "dropout"],
  ["(?i:ß)", "beyond ASCII under (?i)"],
];

/** What the library reads no more, and did: the meaning is plain. */
const ACCEPTED = '{"type":"Metaspace","replacement":"_","add_prefix_space":false}';

/** Holds the results of one node against the library's. */
function check<T>(
  { node, hashes, error }: Case,
  inputs: readonly T[],
  read: (node: Record<string, unknown>) => (input: T) => unknown,
): void {
  const name = JSON.stringify(node), shown = name.length > 400 ? `${name.slice(0, 400)}…` : name;
  const refusal = REFUSED.find(([part]) => name.includes(part));
  if (name === ACCEPTED) {
    assertEquals((read(node) as (text: unknown) => unknown)("a b"), ["a", "_b"]);
    return;
  }
  if (error !== undefined || refusal) {
    const thrown = assertThrows(
      () => inputs.forEach((input) => read(node)(input)),
      InputError,
      refusal?.[1],
      shown,
    );
    assert(thrown.message.startsWith("file"), thrown.message);
    return;
  }
  const run = read(node);
  for (let i = 0; i < inputs.length; i += 10) {
    const ten = inputs.slice(i, i + 10), results = ten.map(run), wanted = hashes!.slice(0.8 * i, 0.8 * i + 8);
    assertEquals(
      fnv(JSON.stringify(results)),
      wanted,
      `${shown} on ${JSON.stringify(ten)}: ${JSON.stringify(results)}`,
    );
  }
}

Deno.test("tokenizer: every normalizer as the Rust library's", () => {
  assert(golden.strings.length === 2000 && golden.normalizers.length >= 30);
  for (const one of golden.normalizers) {
    check(one, golden.strings, (node) => readNormalizer(new Fields(node, "file")));
  }
});

Deno.test("tokenizer: every pre-tokenizer and pattern as the Rust library's", () => {
  assert(golden.pre_tokenizers.length > 130);
  for (const one of golden.pre_tokenizers) {
    check(one, golden.strings, (node) => {
      const { cuts, finish } = readPreTokenizer(new Fields(node, "file"));
      return (text) => cutText(cuts, text, true).map((piece) => finish ? finish(piece) : piece);
    });
  }
});

Deno.test("tokenizer: every decoder as the Rust library's", () => {
  for (const one of golden.decoders) {
    check(one, golden.chains, (node) => {
      const decode = readDecoder(new Fields(node, "file"));
      return (tokens) => decode(tokens).join("");
    });
  }
});

Deno.test("tokenizer: every model, added token and post-processor as the Rust library's", () => {
  assert(golden.tokenizers.length > 50);
  for (const one of golden.tokenizers) {
    check(one, golden.strings, (node) => {
      const pipeline = new Pipeline(node, "file"),
        { before, after } = pipeline.frame ?? { before: [], after: [] };
      return (text) => {
        const ids = pipeline.encode(text);
        const [whole, bare] = [false, true].map((skipSpecialTokens) =>
          pipeline.decode(ids, { skipSpecialTokens })
        );
        return [ids, whole, bare, [...before, ...ids, ...after]];
      };
    });
  }
});
