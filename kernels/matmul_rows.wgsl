// X W^T for few rows (decoding) on GPUs: a workgroup of 64 threads makes COLUMNS results of each of the M rows; the
// threads share the steps of the sum, so that every weight is read once, side by side, and then add up.
#include common
struct Params {
  rows: u32, columns: u32, depth: u32, row_extent: u32, left_stride: u32, right_stride: u32,
  result_first: u32, result_stride: u32,
}
@group(0) @binding(1) var<uniform> params: Params;
#include operand NAME=left AT=2 FORMAT=LEFT TEXTURE=0
#include operand NAME=right AT=3 FORMAT=RIGHT TEXTURE=0
#include matmul_epilogue

var<workgroup> partial: array<f32, ${64 * M * COLUMNS}>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let column = (group.x + group.y * groups.x) * ${COLUMNS}u;
  let rows = rows_in_use(params.rows, params.row_extent);
#for m in 0..M
#for c in 0..COLUMNS
  var s${m}_${c} = 0.0;
#end
#end
  let texels = (params.depth + ${4 * HR - 1}u) / ${4 * HR}u;
  for (var k = thread; k < texels; k += 64u) {
#for c in 0..COLUMNS
    let w${c} = right_at(min(column + ${c}u, params.columns - 1u), k, params.right_stride);
#for h in 0..HR
    let w${c}_${h} = right_quad(w${c}, ${h}u);
#end
#end
#for m in 0..M
    if (${m}u < rows) {
#for g in 0..HR / HL
      let x${g} = left_at(${m}u, k * ${HR / HL}u + ${g}u, params.left_stride);
#for e in 0..HL
      let x${g}_${e} = left_quad(x${g}, ${e}u);
#for c in 0..COLUMNS
      s${m}_${c} += dot(x${g}_${e}, w${c}_${g * HL + e});
#end
#end
#end
    }
#end
  }
  workgroupBarrier(); // see group.wgsl
#for m in 0..M
#for c in 0..COLUMNS
  partial[${m * COLUMNS + c}u * 64u + thread] = s${m}_${c};
#end
#end
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
#for i in 0..M * COLUMNS
      partial[${i * 64}u + thread] += partial[${i * 64}u + thread + half];
#end
    }
  }
  workgroupBarrier();
  for (var i = thread; i < ${M * COLUMNS}u; i += 64u) {
    let m = i / ${COLUMNS}u;
    let c = column + i % ${COLUMNS}u;
    if (m < rows && c < params.columns) {
      finish(partial[i * 64u], m * params.result_stride + params.result_first + c, c);
    }
  }
}
