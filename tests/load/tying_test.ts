import { assertEquals } from "@std/assert";
import { resolveTying } from "../../lib/load/tying.ts";

Deno.test("tying: a head of its own in a tied model's file is not dropped", async () => {
  const embedding = new Float32Array([1, 2, 3, 4]);
  const resolve = async (tie: unknown, heads: readonly Float32Array<ArrayBuffer>[]) => {
    const all = new Map([
      ["model.embed_tokens.weight", embedding],
      ...heads.map((h) => ["lm_head.weight", h] as const),
    ]);
    const tensors = new Map([...all.keys()].map((name) => [name, { dtype: "F32" as const, shape: [2, 2] }]));
    const config = { tie_word_embeddings: tie };
    const read = (name: string) => Promise.resolve(all.get(name)!);
    return (await resolveTying({ config, tensors, read })).tie_word_embeddings;
  };
  assertEquals(await resolve(true, []), true);
  assertEquals(await resolve(true, [embedding.slice()]), true);
  assertEquals(await resolve(true, [new Float32Array([1, 2, 3, 5])]), false);
  assertEquals(await resolve(true, [new Float32Array(2)]), false);
  assertEquals(await resolve(false, [embedding.slice()]), false);
  assertEquals(await resolve(undefined, []), undefined);
});
