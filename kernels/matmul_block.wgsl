// Matrix product for GPUs: a workgroup of 256 threads makes a block of BM x BN results from slices of BK steps that
// pass through workgroup memory; a thread makes (BM / 16) x (BN / 16) of them. LAYOUT, HL, HR and windows as in matmul_tile. What lies
// beyond an edge is read as zero. Slices are kept with the result's rows and columns running fastest, whichever way the
// matrix is stored, and the next slice is on its way from memory while this one is multiplied.
//
// A thread brings four texels of one side into workgroup memory: a texel from each of four neighbouring rows as they are
// stored. Where these run along the sum, they are turned in registers, so that whole vectors are stored: a store to one
// component of a vector in workgroup memory may write the others, too, and races with their threads.
#include common
struct Params {
  base: u32, rows: u32, columns: u32, depth: u32, split: u32,
  row_extent: u32, depth_extent: u32, left_stride: u32, right_stride: u32,
  left_first: u32, result_first: u32, result_stride: u32,
}
@group(0) @binding(1) var<uniform> params: Params;
#include operand NAME=left AT=2 FORMAT=LEFT TEXTURE=0
#include operand NAME=right AT=3 FORMAT=RIGHT TEXTURE=0
#include matmul_epilogue

var<workgroup> left_slice: array<vec4<f32>, ${BK * BM / 4}>;
var<workgroup> right_slice: array<vec4<f32>, ${BK * BN / 4}>;

// The texel at `major`, `minor` (in elements) as bits; zero from the limits on.
fn load_left(major: u32, minor: u32, limit: vec2<u32>) -> vec4<u32> {
  if (major >= limit.x || minor >= limit.y) {
    return vec4(0u);
  }
  return bitcast<vec4<u32>>(left_at(major, params.left_first + minor / ${4 * HL}u, params.left_stride));
}
fn load_right(major: u32, minor: u32, limit: vec2<u32>) -> vec4<u32> {
  if (major >= limit.x || minor >= limit.y) {
    return vec4(0u);
  }
  return bitcast<vec4<u32>>(right_at(major, minor / ${4 * HR}u, params.right_stride));
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let block = params.base + group.x + group.y * groups.x;
  let blocks_across = (params.columns + ${BN - 1}u) / ${BN}u;
  let row = block / blocks_across * ${BM}u;
  let column = block % blocks_across * ${BN}u;
  let rows = rows_in_use(params.rows, params.row_extent);
  let depth = rows_in_use(params.depth, params.depth_extent);
  let first = group.z * params.split;
  if (row >= rows || (group.z > 0u && first >= depth)) {
    return;
  }
  let last = min(depth, first + params.split);
  let thread_row = thread / 16u * 4u;
  let thread_column = thread % 16u * 4u;
#for i in 0..TM
#for j in 0..TN / 4
  var c${i}_${j} = vec4(0.0);
#end
#end
#for q in 0..4
  var t${q} = vec4(0u);
#end
  // One round more than there are slices: round 0 only loads, the last only multiplies.
  for (var k = first; k < last + ${BK}u; k += ${BK}u) {
    if (k > first) {
      workgroupBarrier();
      if (thread < ${BM * BK / (16 * HL)}u) {
#if LAYOUT == 2
        let minor = thread % ${BM / (4 * HL)}u * ${HL}u;
        let step = thread / ${BM / (4 * HL)}u * 4u;
#for q in 0..4
#for h in 0..HL
        left_slice[(step + ${q}u) * ${BM / 4}u + minor + ${h}u] = left_quad(bitcast<left_texel>(t${q}), ${h}u);
#end
#end
#else
        let quad = thread / ${BK / (4 * HL)}u;
        let step = thread % ${BK / (4 * HL)}u * ${4 * HL}u;
#for h in 0..HL
#for q in 0..4
        let f${h}_${q} = left_quad(bitcast<left_texel>(t${q}), ${h}u);
#end
#for e in 0..4
        left_slice[(step + ${4 * h + e}u) * ${BM / 4}u + quad] = vec4(f${h}_0[${e}], f${h}_1[${e}], f${h}_2[${e}], f${h}_3[${e}]);
#end
#end
#end
      } else if (thread >= ${256 - BN * BK / (16 * HR)}u) {
        let unit = thread - ${256 - BN * BK / (16 * HR)}u;
#if LAYOUT > 0
        let minor = unit % ${BN / (4 * HR)}u * ${HR}u;
        let step = unit / ${BN / (4 * HR)}u * 4u;
#for q in 0..4
#for h in 0..HR
        right_slice[(step + ${q}u) * ${BN / 4}u + minor + ${h}u] = right_quad(bitcast<right_texel>(t${q}), ${h}u);
#end
#end
#else
        let quad = unit / ${BK / (4 * HR)}u;
        let step = unit % ${BK / (4 * HR)}u * ${4 * HR}u;
#for h in 0..HR
#for q in 0..4
        let f${h}_${q} = right_quad(bitcast<right_texel>(t${q}), ${h}u);
#end
#for e in 0..4
        right_slice[(step + ${4 * h + e}u) * ${BN / 4}u + quad] = vec4(f${h}_0[${e}], f${h}_1[${e}], f${h}_2[${e}], f${h}_3[${e}]);
#end
#end
#end
      }
      workgroupBarrier();
    }
    if (thread < ${BM * BK / (16 * HL)}u) {
#for q in 0..4
#if LAYOUT == 2
      t${q} = load_left(k + thread / ${BM / (4 * HL)}u * 4u + ${q}u, row + thread % ${BM / (4 * HL)}u * ${4 * HL}u, vec2(last, rows));
#else
      t${q} = load_left(row + thread / ${BK / (4 * HL)}u * 4u + ${q}u, k + thread % ${BK / (4 * HL)}u * ${4 * HL}u, vec2(rows, last));
#end
#end
    } else if (thread >= ${256 - BN * BK / (16 * HR)}u) {
      let unit = thread - ${256 - BN * BK / (16 * HR)}u;
#for q in 0..4
#if LAYOUT == 0
      t${q} = load_right(column + unit / ${BK / (4 * HR)}u * 4u + ${q}u, k + unit % ${BK / (4 * HR)}u * ${4 * HR}u, vec2(params.columns, last));
#else
      t${q} = load_right(k + unit / ${BN / (4 * HR)}u * 4u + ${q}u, column + unit % ${BN / (4 * HR)}u * ${4 * HR}u, vec2(last, params.columns));
#end
#end
    }
    if (k > first) {
      for (var step = 0u; step < ${BK}u; step += ${UNROLL}u) {
#for s in 0..UNROLL
#for u in 0..TM / 4
        let a${s}_${u} = left_slice[(step + ${s}u) * ${BM / 4}u + ${u * 16}u + thread_row / 4u];
#end
#for j in 0..TN / 4
        let b${s}_${j} = right_slice[(step + ${s}u) * ${BN / 4}u + ${j * 16}u + thread_column / 4u];
#end
#for i in 0..TM
#for j in 0..TN / 4
        c${i}_${j} = fma(vec4(a${s}_${i / 4}[${i % 4}]), b${s}_${j}, c${i}_${j});
#end
#end
#end
      }
    }
  }
  let across = params.columns / 4u;
#for i in 0..TM
  {
    let at = row + ${i / 4 * 64 + i % 4}u + thread_row;
    if (at < rows) {
#for j in 0..TN / 4
      {
        let quad = (column + thread_column) / 4u + ${j * 16}u;
        if (quad < across) {
          finish(c${i}_${j}, (group.z * params.rows + at) * params.result_stride + params.result_first + quad, quad);
        }
      }
#end
    }
  }
#end
}
