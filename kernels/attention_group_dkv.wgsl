// Softmax attention over packed segments, gradients of keys and values, for GPUs: OWN key rows of one key head per
// workgroup, the query heads of its group one after another. Formulas as in attention_dkv.wgsl.

#include common
#include attention_group_common
#include attention_key_ranges

@group(0) @binding(2) var<storage, read> key_ranges: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec4<f32>>;

var<workgroup> ranges: array<array<vec2<u32>, 3>, ${OWN}>;

fn own_heads() -> u32 {
  return params.kv_heads;
}

fn own_0(key: u32, kv_head: u32, chunk: u32) -> vec4<f32> {
  return qkv[key * qkv_width() + (params.heads + kv_head) * ${CHUNKS}u + chunk] * (params.scale * LOG2E);
}

fn own_1(key: u32, kv_head: u32, chunk: u32) -> vec4<f32> {
  return qkv[key * qkv_width() + (params.heads + params.kv_heads + kv_head) * ${CHUNKS}u + chunk];
}

fn taken_0(query: u32, head: u32, chunk: u32) -> vec4<f32> {
  return qkv[query * qkv_width() + head * ${CHUNKS}u + chunk];
}

fn taken_1(query: u32, head: u32, chunk: u32) -> vec4<f32> {
  return d_o[(query * params.heads + head) * ${CHUNKS}u + chunk];
}

#include attention_group_start

  if (lane < ${OWN}u) {
    let key = first + lane;
    ranges[lane] = seen_by_queries(min(key, last), key < rows);
  }
  // What the block walks through: see attention_group_queries.wgsl.
  var x = vec2<u32>(0u, 0u);
  var y = vec2<u32>(0u, 0u);
  var z = vec2<u32>(0u, 0u);
  for (var r = 0u; r < ${OWN}u; r++) {
    let seen_by = seen_by_queries(min(first + r, last), true);
    x = hull(x, seen_by[0]);
    y = hull(y, seen_by[1]);
    z = hull(z, seen_by[2]);
  }
  let x_blocks = blocks_of(x, TAKEN);
  let y_blocks = x_blocks + blocks_of(y, TAKEN);
  let blocks = y_blocks + blocks_of(z, TAKEN);
#for i in 0..OWN / 8
#for c in 0..COLUMNS
  var sum0_${i}_${c} = vec4<f32>(0.0);
  var sum1_${i}_${c} = vec4<f32>(0.0);
#end
#end

  for (var step = 0u; step < blocks * params.group; step++) {
    let block = step % blocks;
    let other_head = own_head * params.group + step / blocks;
    let slot = select(select(2u, 1u, block < y_blocks), 0u, block < x_blocks);
    let walked = select(select(z, y, slot == 1u), x, slot == 0u);
    let before = select(select(y_blocks, x_blocks, slot == 1u), 0u, slot == 0u);
    let start = walked.x + (block - before) * TAKEN;
    let final_row = walked.y - 1u;
#for PASS in 0..2
#include attention_group_scores
#end
#for j in 0..4
    let stats${j} = stats[min(start + tx + ${8 * j}u, final_row) * params.heads + other_head];
#end
#for i in 0..OWN / 8
    let seen${i} = ranges[ty + ${8 * i}u][slot];
#for j in 0..4
    x0_${i}_${j} = select(
      0.0,
      exp2(x0_${i}_${j} - stats${j}.x),
      start + tx + ${8 * j}u - seen${i}.x < length_of(seen${i}),
    );
    x1_${i}_${j} = x0_${i}_${j} * (x1_${i}_${j} - stats${j}.y);
#end
#end
    // The values' gradient from the weights and dO, then the keys' from the weights' gradients and the queries.
#for SUM in 0..2
    workgroupBarrier();
#for i in 0..OWN / 8
#for j in 0..4
    score[(ty + ${8 * i}u) * PITCH + tx + ${8 * j}u] = x${SUM}_${i}_${j};
#end
#end
#for TERM in 1 - SUM..2 - SUM
#include attention_group_sum
#end
#end
  }

#for i in 0..OWN / 8
  let key${i} = first + ty + ${8 * i}u;
  if (key${i} < rows) {
#for c in 0..COLUMNS
    if (tx + ${8 * c}u < ${CHUNKS}u) {
      let at = key${i} * qkv_width() + (params.heads + own_head) * ${CHUNKS}u + tx + ${8 * c}u;
      d_qkv[at] = sum1_${i}_${c} * params.scale;
      d_qkv[at + params.kv_heads * ${CHUNKS}u] = sum0_${i}_${c};
    }
#end
  }
#end
}
