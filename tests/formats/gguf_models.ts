/** Models to write as GGUF files, and what is read from them again. */
import { assertEquals } from "@std/assert";
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import { mergesByScore } from "../../lib/formats/gguf/merges.ts";
import { openModelFiles } from "../../lib/formats/model_files.ts";
import { fixturePath } from "../reference/fixture.ts";

const TEXTS = [
  "the man said that he was here",
  " two  blanks, don't we'll\n\n1999 + 7\t",
  "naïve 日本語 🎉",
  "<|end_of_text|>after<|im_end|>one</s>more<|end|>",
];

/** The values of every tensor, by Hugging Face's names. */
export async function weightsOf(path: string): Promise<Map<string, Float32Array<ArrayBuffer>>> {
  const model = await openModelFiles(path);
  try {
    const all = new Map<string, Float32Array<ArrayBuffer>>();
    for (const name of model.tensors.keys()) all.set(name, await model.read(name));
    return all;
  } finally {
    model.close();
  }
}

/** Copies a model's files, each changed by `change` where that gives something else. */
export async function copyWith(from: string, to: string, change: (name: string, json: string) => string) {
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) {
    if (!name.endsWith(".json")) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
    else await Deno.writeTextFile(`${to}/${name}`, change(name, await Deno.readTextFile(`${from}/${name}`)));
  }
}

/** Mistral's fixture without its window, and with all the merges that SentencePiece would make. */
export async function writeMistral(to: string): Promise<void> {
  await copyWith(fixturePath("mistral/policy"), to, (name, json) => {
    const value = JSON.parse(json);
    if (name === "config.json") value.sliding_window = null;
    if (name === "tokenizer.json") {
      const tokens = Object.keys(value.model.vocab).sort((a, b) =>
        value.model.vocab[a] - value.model.vocab[b]
      );
      value.model.merges = mergesByScore(tokens, tokens.map((_, id) => -id));
    }
    return JSON.stringify(value);
  });
}

/** Throws where a GGUF file has not, bit for bit, a model's weights, or other ids for a text. */
export async function assertSameModel(model: string, file: string): Promise<void> {
  const [own, read] = [await weightsOf(model), await weightsOf(file)];
  assertEquals([...read.keys()].sort(), [...own.keys()].sort());
  for (const [name, values] of own) {
    assertEquals(new Uint32Array(read.get(name)!.buffer), new Uint32Array(values.buffer), name);
  }
  const [a, b] = [await loadTokenizer(model), await loadTokenizer(file)];
  for (const text of TEXTS) {
    for (const specialTokens of [true, false]) {
      assertEquals(b.encode(text, { specialTokens }), a.encode(text, { specialTokens }), text);
    }
    assertEquals(b.decode(b.encode(text)), a.decode(a.encode(text)), text);
  }
  assertEquals([b.bosId, b.eosId, b.chatTemplate], [a.bosId, a.eosId, a.chatTemplate]);
}
