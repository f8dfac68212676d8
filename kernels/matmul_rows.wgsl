// X W^T for few rows (decoding) on GPUs: a workgroup of 64 threads makes COLUMNS results of each of the M rows; the
// threads share the steps of the sum, so that every weight is read once, side by side, and then add up.
#include common
struct Params { rows: u32, columns: u32, depth: u32, row_extent: u32, left_stride: u32, right_stride: u32 }
@group(0) @binding(1) var<uniform> params: Params;
#if H == 2
@group(0) @binding(2) var<storage, read> left: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> right: array<vec4<u32>>;
#else
@group(0) @binding(2) var<storage, read> left: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> right: array<vec4<f32>>;
#end
#include matmul_epilogue

var<workgroup> partial: array<f32, ${64 * M * COLUMNS}>;

#if H == 2
fn product(a: vec4<u32>, b: vec4<u32>) -> f32 {
  let even = dot(bitcast<vec4<f32>>(a << vec4(16u)), bitcast<vec4<f32>>(b << vec4(16u)));
  return even + dot(bitcast<vec4<f32>>(a & vec4(0xffff0000u)), bitcast<vec4<f32>>(b & vec4(0xffff0000u)));
}
#else
fn product(a: vec4<f32>, b: vec4<f32>) -> f32 {
  return dot(a, b);
}
#end

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
  let texels = (params.depth + ${4 * H - 1}u) / ${4 * H}u;
  for (var k = thread; k < texels; k += 64u) {
#for c in 0..COLUMNS
    let w${c} = right[min(column + ${c}u, params.columns - 1u) * params.right_stride + k];
#end
#for m in 0..M
    if (${m}u < rows) {
      let x = left[${m}u * params.left_stride + k];
#for c in 0..COLUMNS
      s${m}_${c} += product(x, w${c});
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
      finish(partial[i * 64u], m * params.columns + c, c);
    }
  }
}
