/**
 * The tokenizers' regular expressions: every step is counted. (What they match is held against Oniguruma by
 * `tokenizer_nodes_test.ts`.)
 */
import { assertEquals, assertThrows } from "@std/assert";
import { Fields } from "../../lib/data/tokenizer/fields.ts";
import { Pattern } from "../../lib/data/tokenizer/regex_match.ts";
import { cutText, readPreTokenizer } from "../../lib/data/tokenizer/pre_tokenizers.ts";
import { InputError } from "../../lib/errors.ts";

const split = (pattern: string, text: string) => {
  const node = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
  return cutText(readPreTokenizer(new Fields(node, "tokenizer.json")).cuts, text, true);
};

Deno.test("regex: patterns that backtrack without end are stopped, and named", () => {
  const start = performance.now();
  for (const pattern of ["(a+)+$", "(a|a)*b", "(a|aa)+$", "(?:a*)*b", "a*a*a*a*a*a*b", "(?=(a+)+c)a"]) {
    const thrown = assertThrows(
      () => split(pattern, `${"a".repeat(60)}!`),
      InputError,
      "takes more steps than are allowed",
    );
    assertEquals(thrown.message.startsWith("tokenizer.json: the pattern"), true);
  }
  // Each would take longer than the universe has lasted; a busy machine may take its time.
  const seconds = (performance.now() - start) / 1000;
  assertEquals(seconds < 30, true, `${seconds} s`);
});

Deno.test("regex: long texts are no trouble for the patterns in use", () => {
  const words = String
    .raw`[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
  for (const [unit, pieces] of [["a", 1], [" ", 1], ["\n", 1], ["!", 1], ["1", 33334]] as const) {
    const text = unit.repeat(100_000), found = split(words, text);
    assertEquals([found.length, found.join("") === text], [pieces, true], JSON.stringify(unit));
  }
  assertEquals(split(words, "ab ".repeat(50_000)).length, 50_001);
});

Deno.test("regex: a repetition of groups that is too long for the stack is an error, not a crash", () => {
  const pattern = new Pattern("(?:ab|c)+d");
  assertEquals(pattern.find("xababcd"), [1, 7]);
  assertThrows(
    () => split("(?:ab|c)+d", "ab".repeat(200_000)),
    InputError,
    "takes more steps than are allowed",
  );
  assertEquals(pattern.find("abd"), [0, 3]);
});
