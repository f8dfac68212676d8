// Matrix product in registers: a thread makes TM x TN results and uses no workgroup memory, so that one load feeds as
// many multiplications as registers allow. LAYOUT: 0 left[row, k] right[column, k]; 1 left[row, k] right[k, column];
// 2 left[k, row] right[k, column]. Inputs are read four f32 or (BF16) eight bf16 a load, from images or buffers. Images
// are bound as storage textures: on software adapters their loads cost half of a sampled texture's (no mip levels to
// look up) and a quarter of a buffer's.
//
// The order of the sums in a round is the one that leaves the driver's compiler fewest numbers to keep in memory: on a
// software adapter it makes up to half of a product's speed.
//
// An unpacked texel of eight is two (H) vec4: the even elements, then the odd. Where these are steps of the sum their
// order is free; where they are columns, the store weaves them together again.
#include common
struct Params {
  base: u32, rows: u32, columns: u32, depth: u32,
  row_extent: u32, depth_extent: u32, left_stride: u32, right_stride: u32,
}
@group(0) @binding(1) var<uniform> params: Params;
#if IMAGE
#if BF16
@group(0) @binding(2) var left: texture_storage_2d<rgba32uint, read>;
@group(0) @binding(3) var right: texture_storage_2d<rgba32uint, read>;
#else
@group(0) @binding(2) var left: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var right: texture_storage_2d<rgba32float, read>;
#end
#else
#if BF16
@group(0) @binding(2) var<storage, read> left: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> right: array<vec4<u32>>;
#else
@group(0) @binding(2) var<storage, read> left: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> right: array<vec4<f32>>;
#end
#end
#include matmul_epilogue

#if BF16
alias Texel = vec4<u32>;
fn even(texel: Texel) -> vec4<f32> {
  return bitcast<vec4<f32>>(texel << vec4(16u));
}
fn odd(texel: Texel) -> vec4<f32> {
  return bitcast<vec4<f32>>(texel & vec4(0xffff0000u));
}
#else
alias Texel = vec4<f32>;
fn even(texel: Texel) -> vec4<f32> {
  return texel;
}
#end

#if IMAGE
fn load_left(row: u32, texel: u32) -> Texel {
  return textureLoad(left, vec2(texel, row));
}
fn load_right(row: u32, texel: u32) -> Texel {
  return textureLoad(right, vec2(texel, row));
}
#else
fn load_left(row: u32, texel: u32) -> Texel {
  return left[row * params.left_stride + texel];
}
fn load_right(row: u32, texel: u32) -> Texel {
  return right[row * params.right_stride + texel];
}
#end

@compute @workgroup_size(${LANES})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // A workgroup's threads make a block of LX tiles across.
  let block = params.base + group.x + group.y * groups.x;
  let blocks_across = (params.columns + ${TN * LX - 1}u) / ${TN * LX}u;
  let row = (block / blocks_across * ${LANES / LX}u + lane / ${LX}u) * ${TM}u;
  let column = (block % blocks_across * ${LX}u + lane % ${LX}u) * ${TN}u;
  let rows = rows_in_use(params.rows, params.row_extent);
  let depth = rows_in_use(params.depth, params.depth_extent);
  if (row >= rows || column >= params.columns) {
    return;
  }
#for i in 0..TM
#for j in 0..TN / 4
  var c${i}_${j} = vec4(0.0);
#end
#end
#if LAYOUT < 2
  for (var k = 0u; k < (depth + ${4 * H - 1}u) / ${4 * H}u; k++) {
#if LAYOUT == 0
#for j in 0..TN
    let t${j} = load_right(column + ${j}u, k);
    let b0_${j} = even(t${j});
#if BF16
    let b1_${j} = odd(t${j});
#end
#end
#else
#for h in 0..H
#for q in 0..4
#for t in 0..TN / (4 * H)
    let t${h}_${q}_${t} = load_right(k * ${4 * H}u + ${q * H + h}u, column / ${4 * H}u + ${t}u);
    let b${h}_${q}_${t * H} = even(t${h}_${q}_${t});
#if BF16
    let b${h}_${q}_${t * H + 1} = odd(t${h}_${q}_${t});
#end
#end
#end
#end
#end
#for i in 0..TM
    let s${i} = load_left(row + ${i}u, k);
    let a0_${i} = even(s${i});
#if BF16
    let a1_${i} = odd(s${i});
#end
#end
#for j in 0..TN / 4
#for i in 0..TM
#for h in 0..H
#for q in 0..4
#if LAYOUT == 0
    c${i}_${j} = fma(vec4(a${h}_${i}[${q}]), vec4(b${h}_${4 * j}[${q}], b${h}_${4 * j + 1}[${q}], b${h}_${4 * j + 2}[${q}], b${h}_${4 * j + 3}[${q}]), c${i}_${j});
#else
    c${i}_${j} = fma(vec4(a${h}_${i}[${q}]), b${h}_${q}_${j}, c${i}_${j});
#end
#end
#end
#end
#end
  }
#else
  for (var k = 0u; k < depth; k += 4u) {
#for s in 0..4
#for t in 0..TM / (4 * H)
    let s${s}_${t} = load_left(k + ${s}u, row / ${4 * H}u + ${t}u);
    let a${s}_${t * H} = even(s${s}_${t});
#if BF16
    let a${s}_${t * H + 1} = odd(s${s}_${t});
#end
#end
#for t in 0..TN / (4 * H)
    let t${s}_${t} = load_right(k + ${s}u, column / ${4 * H}u + ${t}u);
    let b${s}_${t * H} = even(t${s}_${t});
#if BF16
    let b${s}_${t * H + 1} = odd(t${s}_${t});
#end
#end
#end
#if BF16
#for s in 0..4
#for j in 0..TN / 4
#for i in 0..TM
    c${i}_${j} = fma(vec4(a${s}_${i / 8 * 2 + i % 2}[${i % 8 / 2}]), b${s}_${j}, c${i}_${j});
#end
#end
#end
#else
#for j in 0..TN / 4
#for i in 0..TM
#for s in 0..4
    c${i}_${j} = fma(vec4(a${s}_${i / 4}[${i % 4}]), b${s}_${j}, c${i}_${j});
#end
#end
#end
#end
  }
#end
  let across = params.columns / 4u;
  let quad = column / 4u;
  let base = row * across + quad;
#for i in 0..TM
  if (row + ${i}u < rows) {
#if BF16 && LAYOUT > 0
#for j in 0..TN / 8
    if (quad + ${2 * j}u < across) {
      finish(vec4(c${i}_${2 * j}.x, c${i}_${2 * j + 1}.x, c${i}_${2 * j}.y, c${i}_${2 * j + 1}.y), base + ${i}u * across + ${2 * j}u, quad + ${2 * j}u);
    }
    if (quad + ${2 * j + 1}u < across) {
      finish(vec4(c${i}_${2 * j}.z, c${i}_${2 * j + 1}.z, c${i}_${2 * j}.w, c${i}_${2 * j + 1}.w), base + ${i}u * across + ${2 * j + 1}u, quad + ${2 * j + 1}u);
    }
#end
#else
#for j in 0..TN / 4
    if (quad + ${j}u < across) {
      finish(c${i}_${j}, base + ${i}u * across + ${j}u, quad + ${j}u);
    }
#end
#end
  }
#end
}
