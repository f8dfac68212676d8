// Matrix product in registers: a thread makes TM x TN results and uses no workgroup memory, so that one load feeds as
// many multiplications as registers allow. LAYOUT: 0 left[row, k] right[column, k]; 1 left[row, k] right[k, column];
// 2 left[k, row] right[k, column]. Inputs (operand.wgsl) have HL and HR quads a texel, the right one as many as the left
// or more; a round of NT takes H of them, the more. Textures are bound as storage textures: on software adapters their
// loads cost half of a sampled texture's (no mip levels to look up) and a quarter of a buffer's.
//
// The order of the sums in a round is the one that leaves the driver's compiler fewest numbers to keep in memory: on a
// software adapter it makes up to half of a product's speed.
//
// Of a wider matrix the left one may be some columns, from the texel 'left_first' on, and the result, from the quad
// 'result_first' on: so a weight is read in windows of its rows.
#include common
struct Params {
  base: u32, rows: u32, columns: u32, depth: u32,
  row_extent: u32, depth_extent: u32, left_stride: u32, right_stride: u32,
  left_first: u32, result_first: u32, result_stride: u32,
}
@group(0) @binding(1) var<uniform> params: Params;
#include operand NAME=left AT=2 FORMAT=LEFT TEXTURE=IMAGE
#include operand NAME=right AT=3 FORMAT=RIGHT TEXTURE=IMAGE
#include matmul_epilogue

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
    let t${j} = right_at(column + ${j}u, k, params.right_stride);
#for h in 0..H
    let b${h}_${j} = right_quad(t${j}, ${h}u);
#end
#end
#else
#for h in 0..H
#for q in 0..4
#for t in 0..TN / (4 * HR)
    let t${h}_${q}_${t} = right_at(k * ${4 * H}u + ${4 * h + q}u, column / ${4 * HR}u + ${t}u, params.right_stride);
#for e in 0..HR
    let b${h}_${q}_${t * HR + e} = right_quad(t${h}_${q}_${t}, ${e}u);
#end
#end
#end
#end
#end
#for i in 0..TM
#for g in 0..H / HL
    let s${i}_${g} = left_at(row + ${i}u, params.left_first + k * ${H / HL}u + ${g}u, params.left_stride);
#for e in 0..HL
    let a${g * HL + e}_${i} = left_quad(s${i}_${g}, ${e}u);
#end
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
#for t in 0..TM / (4 * HL)
    let s${s}_${t} = left_at(k + ${s}u, params.left_first + row / ${4 * HL}u + ${t}u, params.left_stride);
#for e in 0..HL
    let a${s}_${t * HL + e} = left_quad(s${s}_${t}, ${e}u);
#end
#end
#for t in 0..TN / (4 * HR)
    let t${s}_${t} = right_at(k + ${s}u, column / ${4 * HR}u + ${t}u, params.right_stride);
#for e in 0..HR
    let b${s}_${t * HR + e} = right_quad(t${s}_${t}, ${e}u);
#end
#end
#end
#if HL == 2
#for s in 0..4
#for j in 0..TN / 4
#for i in 0..TM
    c${i}_${j} = fma(vec4(a${s}_${i / 4}[${i % 4}]), b${s}_${j}, c${i}_${j});
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
  let base = row * params.result_stride + params.result_first + quad;
#for i in 0..TM
  if (row + ${i}u < rows) {
#for j in 0..TN / 4
    if (quad + ${j}u < across) {
      finish(c${i}_${j}, base + ${i}u * params.result_stride + ${j}u, quad + ${j}u);
    }
#end
  }
#end
}
