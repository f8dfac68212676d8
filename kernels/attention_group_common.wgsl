// Shared by the attention kernels for GPUs: a workgroup of 64 takes 32 rows and walks through blocks of 32 others, with
// tiles in workgroup memory (FlashAttention-2, Dao 2023). Lane (tx, ty) of 8x8 owns the scores of rows ty + 8i and
// columns tx + 8j, i and j below 4, and of what it accumulates the rows ty + 8i and columns tx + 8c.
// 12.8 KiB of workgroup memory: below the 16 KiB that every adapter has.

struct Params {
#include attention_params
}
@group(0) @binding(1) var<uniform> params: Params;

#include attention_ranges

const SIDE = 32u;
const PITCH = 33u; // one more than SIDE, against bank conflicts
const LOG2E = 1.4426950408889634;
const LN2 = 0.6931471805599453;
const HIDDEN = -3e38;

var<workgroup> pool: array<f32, 2112>;  // two tiles of 32x32 numbers, or ${STAGED} rows of K
var<workgroup> score: array<f32, 1056>; // weights or their gradients of the block

fn qkv_width() -> u32 {
  return (params.heads + 2u * params.kv_heads) * ${K}u;
}
