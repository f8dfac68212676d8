// Few-row product for decoding: y = x·Wᵀ (+ bias) (+ residual) with everything beside it that a token's step needs.
// NORM: x is RMS-normalised first; the gain goes into x as it is loaded (GAIN), the scale onto the finished sum.
// LOW: an adapter's few columns go on where those of W end: low is x·Aᵀ, with the gain and without the scale as W's part.
// SWIGLU: W is gate | up, and y = silu(gate) · up.
// A tile of TM rows by TN columns belongs to one invocation (SPLIT 1) or to a workgroup whose lanes share the depth.
// W is read by texels (operand.wgsl), each of as many quads (H) as x has lanes beside it, ROUND of them a round; where
// rows are no whole texels, by single numbers (VEC 1).
#include lanes

struct Params {
  rows: u32,
  columns: u32, // of these rows of W, or of y with SWIGLU
  stride: u32, // columns of y
  offset: u32, // the first of these columns in y
  depth: u32, // loads that a row of W takes: H lanes of x each
  w_stride: u32, // see operand.wgsl
  elements: f32, // numbers of a row of x
  eps: f32,
  low_depth: u32, // loads that a row of low takes
}

@group(0) @binding(1) var<uniform> params: Params;
#if UNIFORM
@group(0) @binding(2) var<uniform> x: array<vec4<f32>, ${UNIFORM}>;
#else
@group(0) @binding(2) var<storage, read> x: array<Lane>;
#end
#include operand_lanes NAME=w AT=3 FORMAT=FORMAT TEXTURE=IMAGE
#include decode_finish WIDE=1
#if GAIN
@group(0) @binding(7) var<storage, read> gain: array<Lane>;
#end
#if LOW
#if LOW == 4
alias Low = vec4<f32>;
#else
alias Low = f32;
#end
@group(0) @binding(8) var<storage, read> low: array<Low>;
@group(0) @binding(9) var<storage, read> low_b: array<Low>;

fn add_low(a: Low, b: Low, sum: f32) -> f32 {
#if LOW == 4
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
#else
  return fma(a, b, sum);
#end
}
#end

#if SPLIT > 1
var<workgroup> sums: array<f32, ${SPLIT * SUMS}>;

// Adds up sums[number, lane] over the lanes into sums[number, 0]; all lanes must call.
fn add_lanes(lane: u32) {
  workgroupBarrier();
  for (var step = ${SPLIT / 2}u; step > 0u; step >>= 1u) {
    if (lane < step) {
#for s in 0..SUMS
      sums[${s * SPLIT}u + lane] += sums[${s * SPLIT}u + lane + step];
#end
    }
    workgroupBarrier();
  }
}
#end

fn weights(row: u32, k: u32) -> w_texel {
  return w_at(row, k, params.w_stride);
}

fn multiply_add(a: Lane, b: Lane, sum: f32) -> f32 {
#if VEC == 4
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
#else
  return fma(a, b, sum);
#end
}

@compute @workgroup_size(${SIZE})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = group.x + group.y * groups.x;
#if SPLIT > 1
  let column = index * ${TN}u;
  let first = lane;
#else
  let column = (index * ${SIZE}u + lane) * ${TN}u;
  let first = 0u;
#end
  let row = group.z * ${TM}u;
  if (column >= params.columns) {
    return;
  }
  // Beyond the edge the last row or column is computed again and not stored.
#for i in 0..TM
  let l${i} = min(row + ${i}u, params.rows - 1u) * params.depth * ${H}u;
#if NORM
  var squares${i} = Lane();
#end
#end
#for j in 0..TN
  let column${j} = min(column + ${j}u, params.columns - 1u);
#end
#for i in 0..TM
#for j in 0..TN
  var c${i}_${j} = 0.0;
#if SWIGLU
  var d${i}_${j} = 0.0;
#end
#end
#end
  for (var k = first; k < params.depth; k += ${SPLIT}u) {
#for j in 0..TN
    let b${j} = weights(column${j}, k);
#if SWIGLU
    let e${j} = weights(column${j} + params.columns, k);
#end
#end
#if ROUND < H
    for (var r = 0u; r < ${H}u; r += ${ROUND}u) {
#else
    {
    const r = 0u;
#end
#for h in 0..ROUND
    let at${h} = k * ${H}u + r + ${h}u;
#if GAIN
    let g${h} = gain[at${h}];
#end
#end
    // Row by row, so that a software adapter's compiler keeps the weights, not the sums, in registers.
#for i in 0..TM
#for h in 0..ROUND
#if GAIN
    let x${i}_${h} = x[l${i} + at${h}];
#if NORM
    squares${i} = fma(x${i}_${h}, x${i}_${h}, squares${i});
#end
    let a${i}_${h} = x${i}_${h} * g${h};
#else
    let a${i}_${h} = x[l${i} + at${h}];
#end
#end
#for j in 0..TN
#for h in 0..ROUND
    c${i}_${j} = multiply_add(a${i}_${h}, w_quad(b${j}, r + ${h}u), c${i}_${j});
#if SWIGLU
    d${i}_${j} = multiply_add(a${i}_${h}, w_quad(e${j}, r + ${h}u), d${i}_${j});
#end
#end
#end
#end
    }
  }
#if LOW
  for (var k = first; k < params.low_depth; k += ${SPLIT}u) {
#for j in 0..TN
    let p${j} = low_b[(params.offset + column${j}) * params.low_depth + k];
#if SWIGLU
    let q${j} = low_b[(column${j} + params.columns) * params.low_depth + k];
#end
#end
#for i in 0..TM
    let t${i} = low[min(row + ${i}u, params.rows - 1u) * params.low_depth + k];
#for j in 0..TN
    c${i}_${j} = add_low(t${i}, p${j}, c${i}_${j});
#if SWIGLU
    d${i}_${j} = add_low(t${i}, q${j}, d${i}_${j});
#end
#end
#end
  }
#end
#if SPLIT > 1
  workgroupBarrier(); // see group.wgsl
  // For each row: TN sums, TN more of SWIGLU, and the squares.
#for i in 0..TM
#for j in 0..TN
  sums[${(i * PER_ROW + j) * SPLIT}u + lane] = c${i}_${j};
#if SWIGLU
  sums[${(i * PER_ROW + TN + j) * SPLIT}u + lane] = d${i}_${j};
#end
#end
#if NORM
  sums[${(i * PER_ROW + PER_ROW - 1) * SPLIT}u + lane] = total(squares${i});
#end
#end
  add_lanes(lane);
  for (var at = lane; at < ${TM * TN}u; at += ${SPLIT}u) {
    let i = at / ${TN}u;
    let j = at % ${TN}u;
    if (row + i < params.rows && column + j < params.columns) {
      let base = i * ${PER_ROW}u;
#if NORM
      let scale = 1.0 / sqrt(sums[(base + ${PER_ROW - 1}u) * ${SPLIT}u] / params.elements + params.eps);
#else
      let scale = 1.0;
#end
      let c = sums[(base + j) * ${SPLIT}u] * scale;
#if SWIGLU
      finish(silu(c) * (sums[(base + ${TN}u + j) * ${SPLIT}u] * scale), row + i, column + j);
#else
      finish(c, row + i, column + j);
#end
    }
  }
#else
#for i in 0..TM
  if (row + ${i}u < params.rows) {
#if NORM
    let scale${i} = 1.0 / sqrt(total(squares${i}) / params.elements + params.eps);
#else
    let scale${i} = 1.0;
#end
#for j in 0..TN
    if (column + ${j}u < params.columns) {
#if SWIGLU
      finish(silu(c${i}_${j} * scale${i}) * (d${i}_${j} * scale${i}), row + ${i}u, column + ${j}u);
#else
      finish(c${i}_${j} * scale${i}, row + ${i}u, column + ${j}u);
#end
    }
#end
  }
#end
#end
}
