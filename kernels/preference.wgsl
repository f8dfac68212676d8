// The loss of each example (a pair, or a single completion): sums the log-probabilities of its segments, then LOSS gives
// the value and its derivatives by the sums. A workgroup per example. With SUMS instead, a workgroup per segment writes
// the sum. With LD, log-probabilities beyond the length of a pair's shorter completion count ld_alpha times; sums
// without that factor are handed on beside.
#include common
#if SUMS == 0
${LOSS}

struct ExampleInputs {
  ${INPUT_FIELDS}
}

struct ExampleResult {
  ${RESULT_FIELDS}
}
#end

struct Params {
  rows: u32, // examples, or segments
  extent: u32,
#if LD
  ld_alpha: f32,
#end
#if SUMS == 0
  ${HYPER_FIELDS}
#end
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> logp: array<f32>;
@group(0) @binding(3) var<storage, read> segments: array<vec4<u32>>; // first target, number of targets
#if SUMS
@group(0) @binding(5) var<storage, read_write> results: array<f32>;
#else
@group(0) @binding(4) var<storage, read> inputs: array<ExampleInputs>;
@group(0) @binding(5) var<storage, read_write> results: array<ExampleResult>;
@group(0) @binding(6) var<uniform> scalars: vec4<f32>; // third: the step's baseline
#end

#include lanes
#include sum
#include group

// Every invocation takes each 64th target, with compensation; the sum is then the same on every run.
fn sum_between(lane: u32, first: u32, end: u32) -> f32 {
  var sum = Sum();
  for (var i = first + lane; i < end; i += ${GROUP}u) {
    sum = plus(sum, logp[i]);
  }
  return group_sum(lane, result(sum));
}

// A segment's sum as the loss takes it, and without LD's factor; `other`: the pair's other segment.
fn segment_sums(lane: u32, segment: u32, other: u32) -> vec2<f32> {
  let first = segments[segment].x;
  let end = first + segments[segment].y;
#if LD
  let common_end = min(end, first + segments[other].y);
  let start = sum_between(lane, first, common_end);
  let rest = sum_between(lane, common_end, end);
  return vec2<f32>(start + params.ld_alpha * rest, start + rest);
#else
  return vec2<f32>(sum_between(lane, first, end));
#end
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
  let sums = segment_sums(lane, row, row ^ 1u);
  if (lane == 0u) {
#if LD
    results[2u * row] = sums.x;
    results[2u * row + 1u] = sums.y;
#else
    results[row] = sums.x;
#end
  }
#else
  let chosen = segment_sums(lane, row * ${SIDES}u, row * 2u + 1u);
#if SIDES == 2
  let rejected = segment_sums(lane, row * 2u + 1u, row * 2u);
#else
  let rejected = vec2<f32>();
#end
  if (lane == 0u) {
    let known = inputs[row];
    let x = Pair(chosen.x, rejected.x, known.ref_chosen, known.ref_rejected, known.chosen_tokens,
      known.rejected_tokens, known.label, scalars.z);
    let value = example_loss(x);
    let d_nll = select(0.0, -1.0, known.label > 0.0);
    results[row] = ExampleResult(chosen.x, rejected.x, value.loss, value.d_chosen, value.d_rejected, d_nll, chosen.y);
  }
#end
}
