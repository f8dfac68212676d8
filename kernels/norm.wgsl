// RMSNorm forward: y = x / sqrt(mean(x²) + eps) · w, and rstd = 1 / sqrt(...) for the backward pass.
// A row is worked on by one invocation (GROUP 0) or by a workgroup of GROUP.
#include common
#include lanes
#include sum
#if GROUP
#include group
#end

struct Params {
  rows: u32,
  extent: u32,
  width: u32, // lanes of a row
  elements: f32, // numbers of a row
  eps: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<Lane>;
@group(0) @binding(3) var<storage, read> w: array<Lane>;
@group(0) @binding(4) var<storage, read_write> y: array<Lane>;
@group(0) @binding(5) var<storage, read_write> rstd: array<f32>;

#include row_start
  let base = row * params.width;
  var squares = Sum();
  for (var i = first; i < params.width; i += ${UNROLL * STEP}u) {
    var part = Lane();
#for u in 0..UNROLL
    let x${u} = x[base + i + ${u * STEP}u];
    part += x${u} * x${u};
#end
    squares = plus(squares, part);
  }
#if GROUP
  let sum = group_sum(lane, result(squares));
#else
  let sum = result(squares);
#end
  let scale = 1.0 / sqrt(sum / params.elements + params.eps);
  if (first == 0u) {
    rstd[row] = scale;
  }
  for (var i = first; i < params.width; i += ${UNROLL * STEP}u) {
#for u in 0..UNROLL
    y[base + i + ${u * STEP}u] = x[base + i + ${u * STEP}u] * scale * w[i + ${u * STEP}u];
#end
  }
}
