// Shared by the attention kernels for GPUs: a workgroup of 64 holds OWN rows of one head and walks through blocks of
// TAKEN others (FlashAttention-2, Dao 2023). A head's K numbers are CHUNKS vectors. Lane (tx, ty) of 8x8 owns the scores
// of rows ty + 8i and columns tx + 8j, and of what it accumulates the rows ty + 8i and the vectors tx + 8c.
//
// Tiles lie in workgroup memory as [chunk][row], so that a step of the scores is a few loads of whole vectors, most of
// them the same for a row or a column of lanes; one vector more a row keeps banks apart. All kernels stay below the
// 16 KiB of workgroup memory that every adapter has. What each kernel reads it says in own_0, own_1 (its rows) and
// taken_0, taken_1 (the others).

struct Params {
#include attention_params
}
@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> qkv: array<vec4<f32>>;

#include attention_ranges

const LOG2E = 1.4426950408889634;
const LN2 = 0.6931471805599453;
const HIDDEN = -3e38;
const TAKEN = 32u;
const PITCH = 33u; // of the scores, and of a chunk of TAKEN rows

var<workgroup> pool: array<vec4<f32>, ${POOL}>;       // slices of tiles, or STAGED whole rows
var<workgroup> score: array<f32, ${OWN * 33}>; // weights of the block, or their gradients

fn qkv_width() -> u32 {
  return (params.heads + 2u * params.kv_heads) * ${CHUNKS}u;
}

fn multiply_add(a: vec4<f32>, b: vec4<f32>, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}
