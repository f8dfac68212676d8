// The preference loss of each unit (a pair, or a single completion): sums the log-probabilities of its segments, then
// LOSS gives the value and its derivatives by the sums. A workgroup per unit. With SUMS instead, a workgroup per
// segment writes the sum.
#include common
#if SUMS == 0
${LOSS_MATH}
${LOSS}
#end

struct Params {
  rows: u32, // units, or segments
  extent: u32,
#if SUMS == 0
  h0: f32,
  h1: f32,
  h2: f32,
  h3: f32,
#end
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> logp: array<f32>;
@group(0) @binding(3) var<storage, read> segments: array<vec4<u32>>; // first target, number of targets
#if SUMS == 0
@group(0) @binding(4) var<storage, read> references: array<vec4<f32>>;
#end
@group(0) @binding(5) var<storage, read_write> results: array<f32>;

#include lanes
#include sum
#include group

// Every invocation takes each 64th target, with compensation; the sum is then the same on every run.
fn segment_sum(lane: u32, segment: u32) -> f32 {
  let first = segments[segment].x;
  let end = first + segments[segment].y;
  var sum = Sum();
  for (var i = first + lane; i < end; i += ${GROUP}u) {
    sum = plus(sum, logp[i]);
  }
  return group_sum(lane, result(sum));
}

@compute @workgroup_size(${GROUP})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  if (row >= rows_in_use(params.rows, params.extent)) {
    return;
  }
#if SUMS
  let sum = segment_sum(lane, row);
  if (lane == 0u) {
    results[row] = sum;
  }
#else
  let chosen = segment_sum(lane, row * ${ARITY}u);
#if ARITY == 2
  let rejected = segment_sum(lane, row * 2u + 1u);
#else
  let rejected = 0.0;
#end
  if (lane == 0u) {
    let known = references[row];
    let x = Pair(chosen, rejected, known.x, known.y, known.z, known.w);
    let value = pair_loss(x, vec4<f32>(params.h0, params.h1, params.h2, params.h3));
    let at = row * 8u;
    results[at] = chosen;
    results[at + 1u] = rejected;
    results[at + 2u] = value.loss;
    results[at + 3u] = value.d_chosen;
    results[at + 4u] = value.d_rejected;
    results[at + 5u] = 0.0;
    results[at + 6u] = 0.0;
    results[at + 7u] = 0.0;
  }
#end
}
