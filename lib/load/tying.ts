/** Models that are said to be tied and are not. */
import type { ModelDirectory } from "../formats/huggingface.ts";

const HEAD = "lm_head.weight", EMBEDDING = "model.embed_tokens.weight";

/**
 * A model's configuration, with `tie_word_embeddings` false where its file holds a head of its own. Transformers 5 ties
 * only where the two matrices are equal, or one is missing.
 */
export async function resolveTying(
  { config, tensors, read }: Pick<ModelDirectory, "config" | "tensors" | "read">,
): Promise<Record<string, unknown>> {
  const tied = config.tie_word_embeddings === true && tensors.has(HEAD) && tensors.has(EMBEDDING);
  if (!tied) return { ...config };
  const [head, embedding] = [await read(HEAD), await read(EMBEDDING)];
  const same = head.length === embedding.length && head.every((value, i) => value === embedding[i]);
  return { ...config, tie_word_embeddings: same };
}
