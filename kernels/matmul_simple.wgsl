// Matrix product of any layout, any sizes, any adapter: the strides say where left[row, k] and right[column, k] lie.
// A thread makes 4x4 results.
#include common
struct Params {
  base: u32,
  rows: u32, columns: u32, depth: u32,
  row_extent: u32, depth_extent: u32,
  left_row: u32, left_depth: u32, right_column: u32, right_depth: u32,
  left_first: u32, result_first: u32, result_stride: u32,
  right_width: u32, right_stride: u32, // columns of the right matrix, and of block formats words of a row
}
@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> left: array<f32>;
#if RIGHT == 0
@group(0) @binding(3) var<storage, read> right: array<f32>;
#end
#if RIGHT == 1 || RIGHT == 2
@group(0) @binding(3) var<storage, read> right: array<u32>;
#end
#if RIGHT > 2
#include operand NAME=right AT=3 FORMAT=RIGHT TEXTURE=0
#end
#include matmul_epilogue

#if ROUND
#include bf16
#end

fn rounded(value: f32) -> f32 {
#if ROUND
  return bitcast<f32>(to_bf16(value) << 16u);
#else
  return value;
#end
}

// What is stored in fewer bits is not rounded again.
fn load_right(at: u32) -> f32 {
#if RIGHT == 0
  return rounded(right[at]);
#end
#if RIGHT == 1
  return bitcast<f32>(select(right[at / 2u] << 16u, right[at / 2u] & 0xffff0000u, (at & 1u) == 1u));
#end
#if RIGHT == 2
  return unpack2x16float(right[at / 2u])[at & 1u];
#end
#if RIGHT > 2
  let column = at % params.right_width;
  let texel = right_at(at / params.right_width, column / 8u, params.right_stride);
  return right_quad(texel, (column / 4u) & 1u)[column & 3u];
#end
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = (params.base + group.x + group.y * groups.x) * 64u + lane;
  let tiles_across = (params.columns + 3u) / 4u;
  let row = tile / tiles_across * 4u;
  let column = tile % tiles_across * 4u;
  let rows = rows_in_use(params.rows, params.row_extent);
  let depth = rows_in_use(params.depth, params.depth_extent);
  if (row >= rows) {
    return;
  }
  // Beyond the edge the last row or column is read again and not stored.
#for i in 0..4
  let l${i} = params.left_first + min(row + ${i}u, rows - 1u) * params.left_row;
  let r${i} = min(column + ${i}u, params.columns - 1u) * params.right_column;
#end
#for i in 0..4
#for j in 0..4
  var c${i}_${j} = 0.0;
#end
#end
  // Four steps an iteration: some software adapters stop a thread after 65,535 iterations.
  let whole = depth / 4u * 4u;
  for (var k = 0u; k < whole; k += 4u) {
#for s in 0..4
#for i in 0..4
    let a${s}_${i} = rounded(left[l${i} + (k + ${s}u) * params.left_depth]);
    let b${s}_${i} = load_right(r${i} + (k + ${s}u) * params.right_depth);
#end
#for i in 0..4
#for j in 0..4
    c${i}_${j} = fma(a${s}_${i}, b${s}_${j}, c${i}_${j});
#end
#end
#end
  }
  for (var k = whole; k < depth; k++) {
#for i in 0..4
    let a${i} = rounded(left[l${i} + k * params.left_depth]);
    let b${i} = load_right(r${i} + k * params.right_depth);
#end
#for i in 0..4
#for j in 0..4
    c${i}_${j} = fma(a${i}, b${j}, c${i}_${j});
#end
#end
  }
#for i in 0..4
  if (row + ${i}u < rows) {
#for j in 0..4
    if (column + ${j}u < params.columns) {
      finish(c${i}_${j}, (row + ${i}u) * params.result_stride + params.result_first + column + ${j}u, column + ${j}u);
    }
#end
  }
#end
}
