// Shared by the attention kernels for GPUs: a workgroup of 64 takes 32 rows and walks through blocks of 32 others, with
// tiles in workgroup memory (FlashAttention-2, Dao 2023). Lane (tx, ty) of 8x8 owns the scores of rows ty + 8i and
// columns tx + 8j, i and j below 4, and of what it accumulates the rows ty + 8i and columns tx + 8c.
// 12.8 KiB of workgroup memory: below the 16 KiB that every adapter has.

struct Params {
#include attention_params
}
@group(0) @binding(1) var<uniform> params: Params;

const SIDE = 32u;
const PITCH = 33u; // one more than SIDE, against bank conflicts
const LOG2E = 1.4426950408889634;
const LN2 = 0.6931471805599453;
const HIDDEN = -3e38;

var<workgroup> pool: array<f32, 2112>;  // two tiles of 32x32 numbers, or ${STAGED} rows of K
var<workgroup> score: array<f32, 1056>; // weights or their gradients of the block

// The smallest range that holds both; x == y is empty.
fn hull(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if (a.x >= a.y) {
    return b;
  }
  if (b.x >= b.y) {
    return a;
  }
  return vec2<u32>(min(a.x, b.x), max(a.y, b.y));
}

fn length_of(range: vec2<u32>) -> u32 {
  return max(range.x, range.y) - range.x;
}

fn blocks_of(range: vec2<u32>) -> u32 {
  return (length_of(range) + SIDE - 1u) / SIDE;
}

fn qkv_width() -> u32 {
  return (params.heads + 2u * params.kv_heads) * ${K}u;
}
