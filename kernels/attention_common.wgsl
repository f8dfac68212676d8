// Shared by the attention kernels that work with tiles of rows per thread.
//
// A head's K numbers are held as CHUNKS = K / VEC vectors of VEC numbers, all named (never indexed: a software adapter
// keeps named values in registers and gathers indexed ones). Tiles are loaded and stored by a loop over the chunks that
// hands the values on from name to name: spelled out, these loads and stores would take longer to compile than the rest.

struct Params {
#include attention_params
  stride: u32,    // see spread()
  chunks: u32,    // CHUNKS, as a number that the compiler does not know
  from_head: u32, // keys and values, of the group: a dispatch takes some of its heads;
  to_head: u32,   // the first dispatch writes (ADD 0), the others add (ADD 1)
}
@group(0) @binding(1) var<uniform> params: Params;

#include attention_ranges

#if VEC == 4
alias Chunk = vec4<f32>;
fn multiply_add(a: Chunk, b: Chunk, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}
#else
#if VEC == 2
alias Chunk = vec2<f32>;
fn multiply_add(a: Chunk, b: Chunk, sum: f32) -> f32 {
  return fma(a.y, b.y, fma(a.x, b.x, sum));
}
#else
alias Chunk = f32;
fn multiply_add(a: Chunk, b: Chunk, sum: f32) -> f32 {
  return fma(a, b, sum);
}
#end
#end

const LOG2E = 1.4426950408889634;
const LN2 = 0.6931471805599453;
const HIDDEN = -3e38;

// Workgroup number `index` of `count` takes this piece of work. Software adapters give each processor one consecutive
// part of the workgroups; `stride` (no common divisor with `count`) spreads long rows and unused ones over all parts.
fn spread(index: u32, stride: u32, count: u32) -> u32 {
  return (index * stride) % count;
}

// qkv [T, (H + 2G) K]
#if IMAGE
@group(0) @binding(3) var qkv: texture_storage_2d<rgba32float, read>;
#else
@group(0) @binding(3) var<storage, read> qkv: array<Chunk>;
#end

fn qkv_width() -> u32 {
  return (params.heads + 2u * params.kv_heads) * ${CHUNKS}u;
}

fn load(row: u32, column: u32) -> Chunk {
#if IMAGE
  return textureLoad(qkv, vec2<u32>(column, row));
#else
  return qkv[row * qkv_width() + column];
#end
}
