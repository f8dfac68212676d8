/**
 * The registry of kernels: every WGSL text by name. Text imports are part of the module graph, so the kernels travel
 * with `mod.ts` when it is imported from a URL, and into a bundle.
 */
import common from "./common.wgsl" with { type: "text" };
import attention from "./attention.wgsl" with { type: "text" };
import attention_common from "./attention_common.wgsl" with { type: "text" };
import attention_dkv from "./attention_dkv.wgsl" with { type: "text" };
import attention_dq from "./attention_dq.wgsl" with { type: "text" };
import attention_group from "./attention_group.wgsl" with { type: "text" };
import attention_group_common from "./attention_group_common.wgsl" with { type: "text" };
import attention_group_dkv from "./attention_group_dkv.wgsl" with { type: "text" };
import attention_group_dq from "./attention_group_dq.wgsl" with { type: "text" };
import attention_group_queries from "./attention_group_queries.wgsl" with { type: "text" };
import attention_group_scores from "./attention_group_scores.wgsl" with { type: "text" };
import attention_group_start from "./attention_group_start.wgsl" with { type: "text" };
import attention_group_sum from "./attention_group_sum.wgsl" with { type: "text" };
import attention_stats from "./attention_stats.wgsl" with { type: "text" };
import attention_key_ranges from "./attention_key_ranges.wgsl" with { type: "text" };
import attention_keys_taken from "./attention_keys_taken.wgsl" with { type: "text" };
import attention_queries from "./attention_queries.wgsl" with { type: "text" };
import attention_thread from "./attention_thread.wgsl" with { type: "text" };
import attention_params from "./attention_params.wgsl" with { type: "text" };
import attention_ranges from "./attention_ranges.wgsl" with { type: "text" };
import baseline from "./baseline.wgsl" with { type: "text" };
import bf16 from "./bf16.wgsl" with { type: "text" };
import block_texels from "./block_texels.wgsl" with { type: "text" };
import bits from "./bits.wgsl" with { type: "text" };
import column_sum from "./column_sum.wgsl" with { type: "text" };
import matmul_block from "./matmul_block.wgsl" with { type: "text" };
import matmul_block_load from "./matmul_block_load.wgsl" with { type: "text" };
import matmul_rows from "./matmul_rows.wgsl" with { type: "text" };
import matmul_epilogue from "./matmul_epilogue.wgsl" with { type: "text" };
import matmul_simple from "./matmul_simple.wgsl" with { type: "text" };
import matmul_sum from "./matmul_sum.wgsl" with { type: "text" };
import matmul_tile from "./matmul_tile.wgsl" with { type: "text" };
import operand from "./operand.wgsl" with { type: "text" };
import operand_lanes from "./operand_lanes.wgsl" with { type: "text" };
import pack from "./pack.wgsl" with { type: "text" };
import adamw from "./adamw.wgsl" with { type: "text" };
import adapter_collapse from "./adapter_collapse.wgsl" with { type: "text" };
import adapter_expand from "./adapter_expand.wgsl" with { type: "text" };
import dequantize from "./dequantize.wgsl" with { type: "text" };
import embedding from "./embedding.wgsl" with { type: "text" };
import embedding_sum from "./embedding_sum.wgsl" with { type: "text" };
import gradnorm from "./gradnorm.wgsl" with { type: "text" };
import gradnorm_total from "./gradnorm_total.wgsl" with { type: "text" };
import group from "./group.wgsl" with { type: "text" };
import gumbel from "./gumbel.wgsl" with { type: "text" };
import lanes from "./lanes.wgsl" with { type: "text" };
import logprob from "./logprob.wgsl" with { type: "text" };
import logprob_backward from "./logprob_backward.wgsl" with { type: "text" };
import norm from "./norm.wgsl" with { type: "text" };
import norm_backward from "./norm_backward.wgsl" with { type: "text" };
import norm_dw from "./norm_dw.wgsl" with { type: "text" };
import preference from "./preference.wgsl" with { type: "text" };
import preference_coef from "./preference_coef.wgsl" with { type: "text" };
import rope from "./rope.wgsl" with { type: "text" };
import item_start from "./item_start.wgsl" with { type: "text" };
import spans from "./spans.wgsl" with { type: "text" };
import row_start from "./row_start.wgsl" with { type: "text" };
import sum from "./sum.wgsl" with { type: "text" };
import swiglu from "./swiglu.wgsl" with { type: "text" };
import tick from "./tick.wgsl" with { type: "text" };
import texels from "./texels.wgsl" with { type: "text" };
import decode_attention from "./decode_attention.wgsl" with { type: "text" };
import decode_combine from "./decode_combine.wgsl" with { type: "text" };
import decode_embed from "./decode_embed.wgsl" with { type: "text" };
import decode_finish from "./decode_finish.wgsl" with { type: "text" };
import decode_fill from "./decode_fill.wgsl" with { type: "text" };
import decode_linear from "./decode_linear.wgsl" with { type: "text" };
import decode_rows from "./decode_rows.wgsl" with { type: "text" };
import decode_tile from "./decode_tile.wgsl" with { type: "text" };
import sample from "./sample.wgsl" with { type: "text" };

/** Kernel texts by name; see `lib/gpu/template.ts` for their directives. */
export const kernels: Readonly<Record<string, string>> = {
  common,
  attention,
  attention_common,
  attention_dkv,
  attention_dq,
  attention_group,
  attention_group_common,
  attention_group_dkv,
  attention_group_dq,
  attention_group_queries,
  attention_group_scores,
  attention_group_start,
  attention_group_sum,
  attention_stats,
  attention_key_ranges,
  attention_keys_taken,
  attention_queries,
  attention_thread,
  attention_params,
  attention_ranges,
  swiglu,
  tick,
  item_start,
  spans,
  row_start,
  texels,
  sum,
  rope,
  preference_coef,
  preference,
  norm_dw,
  norm_backward,
  norm,
  logprob_backward,
  logprob,
  lanes,
  gumbel,
  group,
  gradnorm_total,
  gradnorm,
  embedding_sum,
  dequantize,
  embedding,
  adamw,
  adapter_collapse,
  adapter_expand,
  baseline,
  bf16,
  block_texels,
  bits,
  column_sum,
  matmul_block,
  matmul_block_load,
  matmul_rows,
  matmul_epilogue,
  matmul_simple,
  matmul_sum,
  matmul_tile,
  operand,
  operand_lanes,
  pack,
  decode_attention,
  decode_combine,
  decode_embed,
  decode_fill,
  decode_finish,
  decode_linear,
  decode_rows,
  decode_tile,
  sample,
};
