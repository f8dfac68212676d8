// One token's attention for every slot: turns the new queries and the new key (rotary embedding), appends key and
// value to the slot's cache, and attends over the cache with an online softmax.
// One slot and QH query heads of one key/value head belong to one invocation (SPLIT 1) or to a workgroup whose lanes
// share the keys. With PIECES > 1 that many workgroups share them, each with a softmax of its own over every PIECES-th
// SPLIT of them: decode_combine.wgsl then makes one of these.
#include lanes

struct Params {
  slots: u32,
  row: u32, // words of a row of state
  width: u32, // lanes of a row of qkv
  heads: u32,
  kv_heads: u32,
  parts: u32, // workgroups for one key/value head
  positions: u32, // of a slot's cache
  window: u32, // keys that a query sees at most
  scale: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> state: array<u32>;
@group(0) @binding(3) var<storage, read> table: array<Lane>;
@group(0) @binding(4) var<storage, read> qkv: array<Lane>;
@group(0) @binding(5) var<storage, read_write> cache: array<Lane>;
@group(0) @binding(6) var<storage, read_write> o: array<Lane>; // with PIECES: not divided by the sum yet
#if PIECES > 1
@group(0) @binding(7) var<storage, read_write> softmax: array<vec2<f32>>; // of each piece: highest score, sum
#end

const LANES = ${LANES}u; // of a head
const HALF = ${LANES / 2}u;

#if SPLIT > 1
var<workgroup> group_max: array<f32, ${SPLIT * QH}>;
var<workgroup> group_sum: array<f32, ${SPLIT * QH}>;
var<workgroup> group_o: array<Lane, ${SPLIT * QH * LANES}>;
#end

@compute @workgroup_size(${SIZE})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
#if SPLIT > 1
  let index = (group.x + group.y * groups.x) / ${PIECES}u;
  let piece = (group.x + group.y * groups.x) % ${PIECES}u;
  let lane = local;
#else
  let index = (group.x + group.y * groups.x) * ${SIZE}u + local;
  let lane = 0u;
  let piece = 0u;
#end
  let part = index % params.parts;
  let kv_head = index / params.parts % params.kv_heads;
  let slot = index / params.parts / params.kv_heads;
  if (slot >= params.slots) {
    return;
  }
  let head = kv_head * (params.heads / params.kv_heads) + part * ${QH}u;
  let length = min(state[slot * params.row + 1u], params.positions - 1u);
  let live = state[slot * params.row + 4u] != 0u;

  let angle = length * LANES;
#for i in 0..LANES / 2
  let cosine${i} = table[angle + ${i}u];
  let sine${i} = table[angle + HALF + ${i}u];
#end
  let q_base = slot * params.width + head * LANES;
  let k_base = slot * params.width + (params.heads + kv_head) * LANES;
  let v_base = k_base + params.kv_heads * LANES;
#for i in 0..LANES / 2
  let ka${i} = qkv[k_base + ${i}u];
  let kb${i} = qkv[k_base + HALF + ${i}u];
  let k${i} = ka${i} * cosine${i} - kb${i} * sine${i};
  let k${i + LANES / 2} = kb${i} * cosine${i} + ka${i} * sine${i};
#end
#for h in 0..QH
#for i in 0..LANES / 2
  let qa${h}_${i} = qkv[q_base + ${h * LANES + i}u] * params.scale;
  let qb${h}_${i} = qkv[q_base + ${h * LANES + i}u + HALF] * params.scale;
  let q${h}_${i} = qa${h}_${i} * cosine${i} - qb${h}_${i} * sine${i};
  let q${h}_${i + LANES / 2} = qb${h}_${i} * cosine${i} + qa${h}_${i} * sine${i};
#end
#end

  // The new key is the first lane's first; no other workgroup reads it from the cache in this dispatch.
  let row = 2u * params.kv_heads * LANES;
  let slot_base = slot * params.positions * row + kv_head * LANES;
  let is_first = lane == 0u && piece == 0u;
#for i in 0..LANES
  let v${i} = qkv[v_base + ${i}u];
#end
#for h in 0..QH
  var dot${h} = Lane();
#for i in 0..LANES
  dot${h} = fma(q${h}_${i}, k${i}, dot${h});
  var o${h}_${i} = select(Lane(), v${i}, is_first);
#end
  var max${h} = select(-3.0e38, total(dot${h}), is_first);
  var sum${h} = select(0.0, 1.0, is_first);
#end
  if (live && is_first && part == 0u) {
    let at = slot_base + length * row;
#for i in 0..LANES
    cache[at + ${i}u] = k${i};
    cache[at + params.kv_heads * LANES + ${i}u] = v${i};
#end
  }

  let seen = select(0u, length, live);
  let oldest = select(0u, length + 1u - params.window, length + 1u > params.window);
  for (var j = oldest + piece * ${SPLIT}u + lane; j < seen; j += ${SPLIT * PIECES}u) {
    let at = slot_base + j * row;
#for h in 0..QH
    var s${h} = Lane();
#end
#for i in 0..LANES
    let key${i} = cache[at + ${i}u];
#for h in 0..QH
    s${h} = fma(q${h}_${i}, key${i}, s${h});
#end
#end
#for h in 0..QH
    let score${h} = total(s${h});
    let highest${h} = max(max${h}, score${h});
    let old${h} = exp(max${h} - highest${h});
    let new${h} = exp(score${h} - highest${h});
    max${h} = highest${h};
    sum${h} = sum${h} * old${h} + new${h};
#end
#for i in 0..LANES
    let value${i} = cache[at + params.kv_heads * LANES + ${i}u];
#for h in 0..QH
    o${h}_${i} = o${h}_${i} * old${h} + value${i} * new${h};
#end
#end
  }

#if SPLIT > 1
  workgroupBarrier(); // see group.wgsl
#for h in 0..QH
  group_max[${h * SPLIT}u + lane] = max${h};
  group_sum[${h * SPLIT}u + lane] = sum${h};
#for i in 0..LANES
  group_o[(${h * SPLIT}u + lane) * LANES + ${i}u] = o${h}_${i};
#end
#end
  workgroupBarrier();
  for (var at = lane; at < ${QH * LANES}u; at += ${SPLIT}u) {
    let first = at / LANES * ${SPLIT}u;
    let i = at % LANES;
    var highest = group_max[first];
    for (var t = 1u; t < ${SPLIT}u; t++) {
      highest = max(highest, group_max[first + t]);
    }
    var sum = 0.0;
    var result = Lane();
    for (var t = 0u; t < ${SPLIT}u; t++) {
      let weight = exp(group_max[first + t] - highest);
      sum += group_sum[first + t] * weight;
      result += group_o[(first + t) * LANES + i] * weight;
    }
#if PIECES > 1
    let place = (slot * params.heads + head + at / LANES) * ${PIECES}u + piece;
    o[place * LANES + i] = result;
    if (i == 0u) {
      softmax[place] = vec2<f32>(highest, sum);
    }
#else
    o[(slot * params.heads + head) * LANES + at] = result / sum;
#end
  }
#else
#for h in 0..QH
#for i in 0..LANES
  o[(slot * params.heads + head) * LANES + ${h * LANES + i}u] = o${h}_${i} / sum${h};
#end
#end
#end
}
