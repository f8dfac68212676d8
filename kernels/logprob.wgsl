// One pass of the log-probability head over a chunk of the vocabulary: takes the logits [N, C] of columns
// [offset, offset + C) into each row's running state (reference, sum of exp(logit − reference), logit of the target).
//
// The reference only moves where a logit exceeds it by more than 8 (so that the sum stays far from overflow):
// each move rounds the sum so far, and by then that sum hardly counts.
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
  width: u32, // lanes of a row of the chunk
  columns: u32, // numbers of a row of the chunk
  offset: u32,
  opens: u32, // 1 for the first chunk
  closes: u32, // 1 for the last chunk
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> logits: array<Lane>;
@group(0) @binding(3) var<storage, read> targets: array<u32>;
@group(0) @binding(4) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> logp: array<f32>;

const LOWEST = -3.0e38;
const MARGIN = 8.0;

// ln x for normal x > 0. WGSL promises only an absolute 2⁻²¹ near 1; this keeps to a unit or two in the last place:
// x = 2^k f with f about 1, ln f = 2 atanh((f − 1) / (f + 1)), whose series is cut after z⁹ (3e-9 of ln f).
fn accurate_log(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  var k = i32(bits >> 23u) - 127;
  var f = bitcast<f32>((bits & 0x7fffffu) | 0x3f800000u);
  if (f > 1.4142135) {
    f *= 0.5;
    k += 1;
  }
  let z = (f - 1.0) / (f + 1.0);
  let s = z * z;
  let series = s * (1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s * (1.0 / 9.0))));
  // ln 2 in two parts: the first times k is exact.
  return f32(k) * 0.693145751953125 + (2.0 * z + (2.0 * z * series + f32(k) * 1.42860682030941723e-6));
}

#include row_start
  var before = vec4<f32>(LOWEST, 0.0, 0.0, 0.0);
  if (params.opens == 0u) {
    before = state[row];
  }
  let base = row * params.width;
#if GROUP
  var top = LOWEST;
  for (var i = first; i < params.width; i += ${STEP}u) {
    top = max(top, highest(logits[base + i]));
  }
  var reference = before.x;
  top = group_max(lane, top);
  if (top > reference + MARGIN) {
    reference = top;
  }
  var sum = Sum();
  for (var i = first; i < params.width; i += ${STEP}u) {
    sum = plus(sum, exp(logits[base + i] - reference));
  }
  let exponentials = before.y * exp(max(before.x - reference, -200.0)) + group_sum(lane, result(sum));
#else
  var reference = before.x;
  var sum = Sum();
#if VEC == 4
  sum.value.x = before.y;
#else
  sum.value = before.y;
#end
  for (var i = 0u; i < params.width; i += ${UNROLL}u) {
#for u in 0..UNROLL
    let x${u} = logits[base + i + ${u}u];
#end
    var top = highest(x0);
#for u in 1..UNROLL
    top = max(top, highest(x${u}));
#end
    if (top > reference + MARGIN) {
      let factor = exp(max(reference - top, -200.0));
      sum = Sum(sum.value * factor, sum.lost * factor);
      reference = top;
    }
    var part = exp(x0 - reference);
#for u in 1..UNROLL
    part += exp(x${u} - reference);
#end
    sum = plus(sum, part);
  }
  let exponentials = result(sum);
#end
  if (first != 0u) {
    return;
  }
  var picked = before.z;
  let column = targets[row] - params.offset;
  if (column < params.columns) {
#if VEC == 4
    picked = logits[base + column / 4u][column % 4u];
#else
    picked = logits[base + column];
#end
  }
  state[row] = vec4<f32>(reference, exponentials, picked, 0.0);
  if (params.closes == 1u) {
    let rest = accurate_log(exponentials);
    logp[row] = (picked - reference) - rest;
  }
}
