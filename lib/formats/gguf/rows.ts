/**
 * The order of the rows of queries and keys. ggml rotates neighbours (2i, 2i + 1) where Transformers rotates
 * (i, i + K/2), so its converter puts row s·K/2 + i of a head at 2i + s.
 */

/** Rows of values, or of stored blocks, which move as their values do. */
type Rows = Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** How rows are divided. */
interface Heads {
  readonly heads: number;
  /** Rows of all heads together. */
  readonly rows: number;
}

/** Heads of the tensor that Hugging Face calls `name`, if its rows are in this order; undefined for all others. */
export function headsOf(
  name: string,
  { queries, keys }: { readonly queries: number; readonly keys: number },
): number | undefined {
  if (name.includes(".q_proj.")) return queries;
  return name.includes(".k_proj.") ? keys : undefined;
}

/** Rows in ggml's order, in Transformers'. */
export function unpermute<T extends Rows>(values: T, heads: Heads): T {
  return move(values, heads, ({ ours, ggml }) => [ggml, ours]);
}

/** Rows in Transformers' order, in ggml's. */
export function permute<T extends Rows>(values: T, heads: Heads): T {
  return move(values, heads, ({ ours, ggml }) => [ours, ggml]);
}

function move<T extends Rows>(
  values: T,
  { heads, rows }: Heads,
  fromTo: (row: { ours: number; ggml: number }) => [from: number, to: number],
): T {
  const width = values.length / rows;
  const half = rows / heads / 2;
  const out = values.slice() as T;
  for (let row = 0; row < rows; row++) {
    const [head, within] = [Math.floor(row / (2 * half)), row % (2 * half)];
    const ggml = head * 2 * half + 2 * (within % half) + Math.floor(within / half);
    const [from, to] = fromTo({ ours: row, ggml });
    out.set(values.subarray(from * width, (from + 1) * width), to * width);
  }
  return out;
}
