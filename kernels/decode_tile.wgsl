// decode_linear.wgsl's product for software adapters and several rows: a tile of TM rows by TN columns an invocation, x
// and W from textures, whose loads cost a seventh of a buffer's. The gain is in x already, the norm's scale comes as a
// number a row (decode_rows.wgsl). Every sum is added up in the order of decode_linear.wgsl's (SPLIT 1), to the same bits.
//
// The order of a round (all loads, then four columns at a time, then the rows) is matmul_tile.wgsl's, for its reason, and
// a round takes ROUND of a texel's H quads, since its code must stay in the processor's caches. With
// SWIGLU there are two of everything that W goes into: W is gate | up, and y = silu(gate) · up.
struct Params {
  rows: u32,
  columns: u32, // of these rows of W, or of y with SWIGLU: a multiple of 4
  stride: u32, // quads of a row of y
  offset: u32, // the first of these columns in y, in quads
  depth: u32, // texels of a row of W, H quads of x each
  low_depth: u32, // quads of a row of low
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var x: texture_storage_2d<rgba32float, read>;
#include operand NAME=w AT=3 FORMAT=FORMAT TEXTURE=1
#include decode_finish WIDE=4
#if NORM
@group(0) @binding(7) var<storage, read> scale: array<f32>;
#end
#if LOW
@group(0) @binding(8) var<storage, read> low: array<vec4<f32>>;
@group(0) @binding(9) var<storage, read> low_b: array<vec4<f32>>;
#end

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let column = ((group.x + group.y * groups.x) * 8u + lane) * ${TN}u;
  let row = group.z * ${TM}u;
  if (column >= params.columns) {
    return;
  }
  // Beyond the edge the last row or column is computed again and not stored.
#for i in 0..TM
  let row${i} = min(row + ${i}u, params.rows - 1u);
#end
#for s in 0..1 + SWIGLU
#for j in 0..TN
  let column${s}_${j} = min(column + ${j}u, params.columns - 1u) + ${s}u * params.columns;
#end
#for i in 0..TM
#for j in 0..TN / 4
  var c${s}_${i}_${j} = vec4(0.0);
#end
#end
#end
  for (var k = 0u; k < params.depth; k++) {
#for s in 0..1 + SWIGLU
#for j in 0..TN
    let t${s}_${j} = w_at(column${s}_${j}, k, 0u);
#end
#end
#if ROUND < H
    for (var r = 0u; r < ${H}u; r += ${ROUND}u) {
#else
    {
    const r = 0u;
#end
#for h in 0..ROUND
#for s in 0..1 + SWIGLU
#for j in 0..TN
    let b${h}_${s}_${j} = w_quad(t${s}_${j}, r + ${h}u);
#end
#end
#for i in 0..TM
    let a${h}_${i} = textureLoad(x, vec2(k * ${H}u + r + ${h}u, row${i}));
#end
#end
#for j in 0..TN / 4
#for s in 0..1 + SWIGLU
#for i in 0..TM
#for h in 0..ROUND
#for q in 0..4
    c${s}_${i}_${j} = fma(vec4(a${h}_${i}[${q}]), vec4(b${h}_${s}_${4 * j}[${q}], b${h}_${s}_${4 * j + 1}[${q}], b${h}_${s}_${4 * j + 2}[${q}], b${h}_${s}_${4 * j + 3}[${q}]), c${s}_${i}_${j});
#end
#end
#end
#end
#end
    }
  }
#if LOW
  for (var k = 0u; k < params.low_depth; k++) {
#for s in 0..1 + SWIGLU
#for j in 0..TN
    let p${s}_${j} = low_b[(4u * params.offset + column${s}_${j}) * params.low_depth + k];
#end
#end
#for i in 0..TM
    let low${i} = low[row${i} * params.low_depth + k];
#for j in 0..TN / 4
#for s in 0..1 + SWIGLU
#for q in 0..4
    c${s}_${i}_${j} = fma(vec4(low${i}[${q}]), vec4(p${s}_${4 * j}[${q}], p${s}_${4 * j + 1}[${q}], p${s}_${4 * j + 2}[${q}], p${s}_${4 * j + 3}[${q}]), c${s}_${i}_${j});
#end
#end
#end
#end
  }
#end
#for i in 0..TM
  if (row + ${i}u < params.rows) {
#if NORM
    let scale${i} = scale[row${i}];
#else
    let scale${i} = 1.0;
#end
#for j in 0..TN / 4
    if (column + ${4 * j}u < params.columns) {
#if SWIGLU
      finish(silu(c0_${i}_${j} * scale${i}) * (c1_${i}_${j} * scale${i}), row + ${i}u, column / 4u + ${j}u);
#else
      finish(c0_${i}_${j} * scale${i}, row + ${i}u, column / 4u + ${j}u);
#end
    }
#end
  }
#end
}
