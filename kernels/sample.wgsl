// The next token of every slot from its logits, and the slot's bookkeeping: one workgroup for each slot.
// Greedy: the highest logit, the lowest index among equals. FILTER: Transformers' temperature, then top_k (the k-th
// largest logit and everything equal to it stay), then top_p (the fewest largest logits whose mass reaches p), then a
// draw by the Gumbel-max trick. Noise is a hash of seed, prompt, position and token, so that a prompt's tokens do not
// depend on what else is in the batch.
#include lanes
#include group
#include bits
#if FILTER
#include gumbel
#end

struct Params {
  row: u32, // words of a row of state
  vocabulary: u32, // lanes of a row of logits
}

// settings: seed, top_k, bits of 1 / temperature, bits of top_p, number of end tokens, the end tokens.
// state, for each slot: token, length, tokens left, prompt, active, tokens written, 0, 0, the tokens written.
@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> settings: array<u32>;
@group(0) @binding(3) var<storage, read> logits: array<Lane>;
@group(0) @binding(4) var<storage, read_write> state: array<u32>;

var<workgroup> best_value: array<f32, ${GROUP}>;
var<workgroup> best_index: array<u32, ${GROUP}>;

fn part(x: Lane, i: u32) -> f32 {
#if VEC == 4
  return x[i];
#else
  return x;
#end
}

#if FILTER
// Numbers in the order of the floats that they come from.
fn order(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// Jarzynski and Olano, Hash Functions for GPU Rendering (2020): pcg4d.
fn hash(seed: vec4<u32>) -> u32 {
  var v = seed * 1664525u + 1013904223u;
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  v ^= v >> vec4(16u);
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  return v.x;
}

// How many logits (or how much of exp(logit − highest)) reach the bound; all lanes must call.
fn reaching(bound: u32, lane: u32, base: u32, highest: f32, scale: f32, by_mass: bool) -> f32 {
  var sum = 0.0;
  for (var i = lane; i < params.vocabulary; i += ${GROUP}u) {
    let x = logits[base + i] * scale;
#for c in 0..VEC
    let x${c} = part(x, ${c}u);
    let weight${c} = select(1.0, exp(x${c} - highest), by_mass);
    sum += select(0.0, weight${c}, order(x${c}) >= bound);
#end
  }
  return group_sum(lane, sum);
}
#end

@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slot = group.x;
  let at = slot * params.row;
  let base = slot * params.vocabulary;
#if FILTER
  let scale = bitcast<f32>(settings[2]);
  let seed = vec3(settings[0], state[at + 3u], state[at + 1u]);
  let wanted = settings[1];
  let share = bitcast<f32>(settings[3]);
  var bound = 0u;
  if (wanted > 0u) {
    for (var bit = 32u; bit > 0u; bit--) {
      let tried = bound | (1u << (bit - 1u));
      if (reaching(tried, lane, base, 0.0, scale, false) >= f32(wanted)) {
        bound = tried;
      }
    }
  }
  if (share < 1.0) {
    var mine = -3.0e38;
    for (var i = lane; i < params.vocabulary; i += ${GROUP}u) {
      mine = max(mine, highest(logits[base + i] * scale));
    }
    let top = group_max(lane, mine);
    let mass = share * reaching(bound, lane, base, top, scale, true);
    var nucleus = 0u;
    for (var bit = 32u; bit > 0u; bit--) {
      let tried = nucleus | (1u << (bit - 1u));
      if (reaching(max(tried, bound), lane, base, top, scale, true) >= mass) {
        nucleus = tried;
      }
    }
    bound = max(nucleus, bound);
  }
#end
  var value = -3.4028234e38;
  var index = 0xffffffffu;
  for (var i = lane; i < params.vocabulary; i += ${GROUP}u) {
    let loaded = logits[base + i];
#for c in 0..VEC
    let known${c} = !not_a_number(bitcast<u32>(part(loaded, ${c}u)));
#if FILTER
    let x${c} = part(loaded, ${c}u) * scale;
    let y${c} = x${c} + gumbel(hash(vec4(seed, i * ${VEC}u + ${c}u)));
    if (known${c} && order(x${c}) >= bound && y${c} > value) {
#else
    let y${c} = part(loaded, ${c}u);
    if (known${c} && y${c} > value) {
#end
      value = y${c};
      index = i * ${VEC}u + ${c}u;
    }
#end
  }
  workgroupBarrier(); // see group.wgsl
  best_value[lane] = value;
  best_index[lane] = index;
  workgroupBarrier();
  if (lane != 0u || state[at + 4u] == 0u) {
    return;
  }
  for (var i = 1u; i < ${GROUP}u; i++) {
    let better = best_value[i] > value || (best_value[i] == value && best_index[i] < index);
    value = select(value, best_value[i], better);
    index = select(index, best_index[i], better);
  }
  let written = state[at + 5u];
  state[at + 8u + written] = index;
  state[at + 5u] = written + 1u;
  state[at] = index;
  state[at + 1u] += 1u;
  let left = state[at + 2u] - 1u;
  state[at + 2u] = left;
  var ends = left == 0u || index == 0xffffffffu;
  for (var i = 0u; i < settings[4]; i++) {
    ends = ends || settings[5u + i] == index;
  }
  if (ends) {
    state[at + 4u] = 0u;
  }
}
