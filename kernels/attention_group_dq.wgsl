// Softmax attention over packed segments, gradient of the queries, for GPUs: OWN query rows of one head per workgroup.
// Formulas as in attention_dq.wgsl; stats are those of attention_stats.wgsl.

#include common
#include attention_group_common

@group(0) @binding(4) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> d_qkv: array<vec4<f32>>;

fn own_0(row: u32, head: u32, chunk: u32) -> vec4<f32> {
  return qkv[row * qkv_width() + head * ${CHUNKS}u + chunk] * (params.scale * LOG2E);
}

fn own_1(row: u32, head: u32, chunk: u32) -> vec4<f32> {
  return d_o[(row * params.heads + head) * ${CHUNKS}u + chunk];
}

#include attention_group_queries

#for i in 0..4
  let stats${i} = stats[min(row${i}, last) * params.heads + head];
#end
  let lse = vec4<f32>(stats0.x, stats1.x, stats2.x, stats3.x);
  let delta = vec4<f32>(stats0.y, stats1.y, stats2.y, stats3.y);

  for (var block = 0u; block < blocks; block++) {
    let in_a = block < a_blocks;
    let start = select(b.x + (block - a_blocks) * TAKEN, a.x + block * TAKEN, in_a);
    let final_row = select(b.y, a.y, in_a) - 1u;
#for i in 0..4
    let seen${i} = select(range${i}.zw, range${i}.xy, in_a);
#end
#for PASS in 0..1
#include attention_group_scores
#end
    // The weights wait in workgroup memory, where no other lane looks before the sum.
#for j in 0..KEYS
    weights[tx + ${TX * j}u][swizzled] = select(
      vec4<f32>(0.0),
      exp2(vec4<f32>(x0_0_${j}, x0_1_${j}, x0_2_${j}, x0_3_${j}) - lse),
      vec4<bool>(
#for i in 0..4
        start + tx + ${TX * j}u - seen${i}.x < length_of(seen${i}),
#end
      ),
    );
#end
#for PASS in 1..2
#include attention_group_scores
#end
#for j in 0..KEYS
    weights[tx + ${TX * j}u][swizzled] *= vec4<f32>(x1_0_${j}, x1_1_${j}, x1_2_${j}, x1_3_${j}) - delta;
#end
#for TERM in 0..1
#include attention_group_sum
#end
  }

#for i in 0..4
  if (row${i} < rows) {
#for c in 0..COLUMNS
    if (tx + ${TX * c}u < ${CHUNKS}u) {
      d_qkv[row${i} * qkv_width() + head * ${CHUNKS}u + tx + ${TX * c}u] = sum_${i}_${c} * params.scale;
    }
#end
  }
#end
}
