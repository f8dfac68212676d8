// Shared by the attention kernels for GPUs: a workgroup of TX x TY lanes holds OWN = 4 TY rows of one head and walks
// through blocks of TAKEN = KEYS TX others (FlashAttention-2, Dao 2023). A head's K numbers are CHUNKS vectors. Lane
// (tx, ty) owns the scores of the four rows from 4 ty on and of columns tx + TX j, and of what it accumulates those rows
// and the vectors tx + TX c: at most 32 scores and 64 sums.
//
// Rows come through workgroup memory a slice of chunks at a time; [row in its lane and chunk][lane] keeps a step of the
// scores to whole vectors, most of them the same for a row or a column of lanes, at constant outer indices. One vector
// more a row keeps banks apart. All kernels stay below the 16 KiB of workgroup memory that every adapter has. What each
// kernel reads it says in own_0, own_1 (its rows) and taken_0, taken_1 (the others).

struct Params {
#include attention_params
}
@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> qkv: array<vec4<f32>>;

#include attention_ranges

const LOG2E = 1.4426950408889634;
const LN2 = 0.6931471805599453;
const HIDDEN = -3e38;
const OWN = ${4 * TY}u;
const TAKEN = ${KEYS * TX}u;

var<workgroup> own_slice: array<array<vec4<f32>, ${TY + 1}>, ${4 * SLICE}>;
var<workgroup> taken_slice: array<array<vec4<f32>, ${TX + 1}>, ${KEYS * SLICE}>; // or STAGED whole rows
// Of a block's columns what a lane's four rows have there: weights, or their gradients. Lane ty is found at ty ^ s with
// s = column % SWIZZLE, which keeps banks apart.
var<workgroup> weights: array<array<vec4<f32>, ${TY}>, ${KEYS * TX}>;

fn qkv_width() -> u32 {
  return (params.heads + 2u * params.kv_heads) * ${CHUNKS}u;
}

fn multiply_add(a: vec4<f32>, b: vec4<f32>, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

// A chunk that there is: slices may end beyond the last one.
fn chunk_at(chunk: u32) -> u32 {
  return min(chunk, ${CHUNKS - 1}u);
}
