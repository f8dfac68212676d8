/** Every table of cases, by op. */
import { adapterCases } from "./adapter.ts";
import { attentionCases } from "./attention_table.ts";
import { biasCases } from "./bias.ts";
import type { OpCase } from "./case.ts";
import { decodeCases } from "./decode.ts";
import { decodeAttentionCases } from "./decode_attention.ts";
import { embeddingCases } from "./embedding.ts";
import { headCases } from "./head.ts";
import { matmulCases } from "./matmul_table.ts";
import { normCases } from "./norm.ts";
import { optimizerCases } from "./optimizer.ts";
import { pointwiseCases } from "./pointwise.ts";

export type { OpCase } from "./case.ts";
export { runCase } from "./run.ts";

export const cases: Readonly<Record<string, readonly OpCase[]>> = {
  adapter: adapterCases,
  attention: attentionCases,
  bias: biasCases,
  decode: decodeCases,
  decode_attention: decodeAttentionCases,
  embedding: embeddingCases,
  head: headCases,
  matmul: matmulCases,
  norm: normCases,
  optimizer: optimizerCases,
  pointwise: pointwiseCases,
};
