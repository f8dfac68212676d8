// Matrix product for GPUs: a workgroup of THREADS makes a block of BM x BN results from slices of BK steps that pass
// through workgroup memory; a thread makes TM x TN of them. LAYOUT, HL, HR and windows as in matmul_tile. Slices are
// kept with the result's rows and columns running fastest, whichever way the matrix is stored, and the next slice is on
// its way from memory while this one is multiplied.
//
// A thread brings units of four texels into workgroup memory: a texel from each of four neighbouring rows as they are
// stored. Where these run along the sum, they are turned in registers, so that whole vectors are stored: a store to one
// component of a vector in workgroup memory may write the others, too, and races with their threads. Each side has ROUNDS
// of units for every thread; where both sides' units fit the threads (SHARED), the last threads take the right side's.
//
// What decides the speed: the sums are written out for a whole slice, with its steps as constant indices, since compilers
// bound every other index; and loads within the matrices have no branch of their own, which would make each wait for the
// one before.
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

var<workgroup> left_slice: array<array<vec4<f32>, ${BM / 4}>, ${BK}>;
var<workgroup> right_slice: array<array<vec4<f32>, ${BN / 4}>, ${BK}>;

// The texel at `major`, `minor` (in elements) as bits; zero from the limits on.
fn left_within(major: u32, minor: u32, limit: vec2<u32>) -> vec4<u32> {
  if (major >= limit.x || minor >= limit.y) {
    return vec4(0u);
  }
  return left_bits(major, minor / ${4 * HL}u);
}
fn right_within(major: u32, minor: u32, limit: vec2<u32>) -> vec4<u32> {
  if (major >= limit.x || minor >= limit.y) {
    return vec4(0u);
  }
  return right_bits(major, minor / ${4 * HR}u);
}
fn left_bits(major: u32, texel: u32) -> vec4<u32> {
  return bitcast<vec4<u32>>(left_at(major, params.left_first + texel, params.left_stride));
}
fn right_bits(major: u32, texel: u32) -> vec4<u32> {
  return bitcast<vec4<u32>>(right_at(major, texel, params.right_stride));
}

@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  // Blocks go down bands of ${BAND} rows of blocks: those that run together share what they read.
  let block = params.base + group.x + group.y * groups.x;
  let blocks_across = (params.columns + ${BN - 1}u) / ${BN}u;
  let blocks_down = (params.rows + ${BM - 1}u) / ${BM}u;
  let band = block / (${BAND}u * blocks_across) * ${BAND}u;
  let high = min(${BAND}u, blocks_down - min(band, blocks_down));
  if (high == 0u) {
    return;
  }
  let in_band = block - band * blocks_across;
  let row = (band + in_band % high) * ${BM}u;
  let column = in_band / high * ${BN}u;
  let rows = rows_in_use(params.rows, params.row_extent);
  let depth = rows_in_use(params.depth, params.depth_extent);
  let first = group.z * params.split;
  if (row >= rows || column >= params.columns || (group.z > 0u && first >= depth)) {
    return;
  }
  let last = min(depth, first + params.split);
  let tx = thread % ${BN / TN}u;
  let ty = thread / ${BN / TN}u;

  // Where this thread's units lie. What a unit holds beyond the result's rows and columns is never stored: any texel of
  // the matrix will do there.
#for i in 0..LEFT_ROUNDS
  let left_unit${i} = thread + ${i * THREADS}u;
#if LAYOUT == 2
  let left_minor${i} = left_unit${i} % ${BM / (4 * HL)}u;
  let left_step${i} = left_unit${i} / ${BM / (4 * HL)}u * 4u;
  let left_texel${i} = min(row / ${4 * HL}u + left_minor${i}, (rows - 1u) / ${4 * HL}u);
#else
  let left_major${i} = left_unit${i} / ${BK / (4 * HL)}u;
  let left_step${i} = left_unit${i} % ${BK / (4 * HL)}u * ${4 * HL}u;
#for q in 0..4
  let left_row${i}_${q} = min(row + left_major${i} * 4u + ${q}u, rows - 1u);
#end
#end
#end
#for i in 0..RIGHT_ROUNDS
#if SHARED
  let right_unit${i} = thread - ${THREADS - BN * BK / (16 * HR)}u; // of the threads before, a large number
#else
  let right_unit${i} = thread + ${i * THREADS}u;
#end
#if LAYOUT > 0
  let right_minor${i} = right_unit${i} % ${BN / (4 * HR)}u;
  let right_step${i} = right_unit${i} / ${BN / (4 * HR)}u * 4u;
  let right_texel${i} = min(column / ${4 * HR}u + right_minor${i}, (params.columns - 1u) / ${4 * HR}u);
#else
  let right_major${i} = right_unit${i} / ${BK / (4 * HR)}u;
  let right_step${i} = right_unit${i} % ${BK / (4 * HR)}u * ${4 * HR}u;
#for q in 0..4
  let right_row${i}_${q} = min(column + right_major${i} * 4u + ${q}u, params.columns - 1u);
#end
#end
#end
#for r in 0..RIGHT_AT + RIGHT_ROUNDS
#for q in 0..4
  var t${r}_${q} = vec4(0u);
#end
#end
#for i in 0..TM
#for j in 0..TN / 4
  var c${i}_${j} = vec4(0.0);
#end
#end

  var k = first;
#include matmul_block_load
  while (k < last) {
    workgroupBarrier();
#for i in 0..LEFT_ROUNDS
    if (left_unit${i} < ${BM * BK / (16 * HL)}u) {
#if LAYOUT == 2
#for q in 0..4
#for h in 0..HL
      left_slice[left_step${i} + ${q}u][left_minor${i} * ${HL}u + ${h}u] = left_quad(bitcast<left_texel>(t${i}_${q}), ${h}u);
#end
#end
#else
#for h in 0..HL
#for q in 0..4
      let f${h}_${q} = left_quad(bitcast<left_texel>(t${i}_${q}), ${h}u);
#end
#for e in 0..4
      left_slice[left_step${i} + ${4 * h + e}u][left_major${i}] = vec4(f${h}_0[${e}], f${h}_1[${e}], f${h}_2[${e}], f${h}_3[${e}]);
#end
#end
#end
    }
#end
#for i in 0..RIGHT_ROUNDS
    if (right_unit${i} < ${BN * BK / (16 * HR)}u) {
#if LAYOUT > 0
#for q in 0..4
#for h in 0..HR
      right_slice[right_step${i} + ${q}u][right_minor${i} * ${HR}u + ${h}u] = right_quad(bitcast<right_texel>(t${RIGHT_AT + i}_${q}), ${h}u);
#end
#end
#else
#for h in 0..HR
#for q in 0..4
      let f${h}_${q} = right_quad(bitcast<right_texel>(t${RIGHT_AT + i}_${q}), ${h}u);
#end
#for e in 0..4
      right_slice[right_step${i} + ${4 * h + e}u][right_major${i}] = vec4(f${h}_0[${e}], f${h}_1[${e}], f${h}_2[${e}], f${h}_3[${e}]);
#end
#end
#end
    }
#end
    workgroupBarrier();
    k += ${BK}u;
#include matmul_block_load
#for s in 0..BK
#for u in 0..TM / 4
    let a${s}_${u} = left_slice[${s}][ty + ${u * BM / TM}u];
#end
#for j in 0..TN / 4
    let b${s}_${j} = right_slice[${s}][tx + ${j * BN / TN}u];
#end
#for i in 0..TM
#for j in 0..TN / 4
    c${i}_${j} = fma(vec4(a${s}_${i / 4}[${i % 4}]), b${s}_${j}, c${i}_${j});
#end
#end
#end
  }

  let across = params.columns / 4u;
#for i in 0..TM
  {
    let at = row + ${i / 4 * (4 * BM / TM) + i % 4}u + ty * 4u;
    if (at < rows) {
#for j in 0..TN / 4
      {
        let quad = column / 4u + tx + ${j * BN / TN}u;
        if (quad < across) {
          finish(c${i}_${j}, (group.z * params.rows + at) * params.result_stride + params.result_first + quad, quad);
        }
      }
#end
    }
  }
#end
}
