// Softmax attention over packed segments, gradient of the keys (VALUES 0) or of the values (1), for GPUs: OWN key rows of
// one key head per workgroup, the query heads of its group one after another, or of one of PARTS of the group: key heads
// are few, and a GPU wants more workgroups. Formulas as in attention_dkv.wgsl. Keys and values apart, since both sets of
// sums together are more registers than many GPUs have; the scores are computed for each.

#include common
#include attention_group_common
#include attention_key_ranges

@group(0) @binding(2) var<storage, read> key_ranges: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
#if PARTS > 1
@group(0) @binding(6) var<storage, read_write> partial: array<vec4<f32>>; // [PARTS, rows, key heads, CHUNKS]
#else
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec4<f32>>;
#end

fn owners() -> u32 {
  return params.kv_heads * ${PARTS}u;
}

// The first keys are seen by the most queries.
fn nth_block(n: u32, blocks: u32) -> u32 {
  return n;
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

  let own_head = own / ${PARTS}u;
  let heads = params.group / ${PARTS}u;
  let first_head = own_head * params.group + own % ${PARTS}u * heads;
#for i in 0..4
  let seen_by${i} = seen_by_queries(min(row${i}, last), row${i} < rows);
#end
  // What the block walks through: see attention_group_queries.wgsl.
  var x = vec2<u32>(0u, 0u);
  var y = vec2<u32>(0u, 0u);
  var z = vec2<u32>(0u, 0u);
  for (var r = first; r < first + OWN; r += 4u) {
#for u in 0..4
    let seen_by_of_${u} = seen_by_queries(min(r + ${u}u, last), true);
#end
#for u in 0..4
    x = hull(x, seen_by_of_${u}[0]);
    y = hull(y, seen_by_of_${u}[1]);
    z = hull(z, seen_by_of_${u}[2]);
#end
  }
  let x_blocks = blocks_of(x, TAKEN);
  let y_blocks = x_blocks + blocks_of(y, TAKEN);
  let blocks = y_blocks + blocks_of(z, TAKEN);

  for (var step = 0u; step < blocks * heads; step++) {
    let block = step % blocks;
    let other_head = first_head + step / blocks;
    let in_x = block < x_blocks;
    let in_y = block < y_blocks;
    let walked = select(select(z, y, in_y), x, in_x);
    let start = walked.x + (block - select(select(y_blocks, x_blocks, in_y), 0u, in_x)) * TAKEN;
    let final_row = walked.y - 1u;
#for i in 0..4
    let seen${i} = select(select(seen_by${i}[2], seen_by${i}[1], in_y), seen_by${i}[0], in_x);
#end
#for j in 0..KEYS
    let stats${j} = stats[min(start + tx + ${TX * j}u, final_row) * params.heads + other_head];
#end
#for PASS in 0..1
#include attention_group_scores
#end
#for j in 0..KEYS
    weights[tx + ${TX * j}u][swizzled] = select(
      vec4<f32>(0.0),
      exp2(vec4<f32>(x0_0_${j}, x0_1_${j}, x0_2_${j}, x0_3_${j}) - stats${j}.x),
      vec4<bool>(
#for i in 0..4
        start + tx + ${TX * j}u - seen${i}.x < length_of(seen${i}),
#end
      ),
    );
#end
#if VALUES
#for TERM in 1..2
#include attention_group_sum
#end
#else
#for PASS in 1..2
#include attention_group_scores
#end
#for j in 0..KEYS
    weights[tx + ${TX * j}u][swizzled] *= vec4<f32>(x1_0_${j}, x1_1_${j}, x1_2_${j}, x1_3_${j}) - stats${j}.y;
#end
#for TERM in 0..1
#include attention_group_sum
#end
#end
  }

#for i in 0..4
  if (row${i} < rows) {
#for c in 0..COLUMNS
    if (tx + ${TX * c}u < ${CHUNKS}u) {
#if VALUES
      let value = sum_${i}_${c};
#else
      let value = sum_${i}_${c} * params.scale;
#end
#if PARTS > 1
      let line = (own % ${PARTS}u * params.rows + row${i}) * params.kv_heads + own_head;
      partial[line * ${CHUNKS}u + tx + ${TX * c}u] = value;
#else
      let head = params.heads + ${VALUES}u * params.kv_heads + own_head;
      d_qkv[row${i} * qkv_width() + head * ${CHUNKS}u + tx + ${TX * c}u] = value;
#end
    }
#end
  }
#end
}
