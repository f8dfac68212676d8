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

#for i in 0..OWN / 8
  let row${i} = first + ty + ${8 * i}u;
  let stats${i} = stats[min(row${i}, last) * params.heads + head];
#for c in 0..COLUMNS
  var sum0_${i}_${c} = vec4<f32>(0.0);
#end
#end

  for (var block = 0u; block < blocks; block++) {
    let in_a = block < a_blocks;
    let start = select(b.x + (block - a_blocks) * TAKEN, a.x + block * TAKEN, in_a);
    let final_row = select(b.y, a.y, in_a) - 1u;
#for PASS in 0..2
#include attention_group_scores
#end
#for i in 0..OWN / 8
    let seen${i} = select(ranges[ty + ${8 * i}u].zw, ranges[ty + ${8 * i}u].xy, in_a);
#for j in 0..4
    score[(ty + ${8 * i}u) * PITCH + tx + ${8 * j}u] = select(
      0.0,
      exp2(x0_${i}_${j} - stats${i}.x) * (x1_${i}_${j} - stats${i}.y),
      start + tx + ${8 * j}u - seen${i}.x < length_of(seen${i}),
    );
#end
#end
#for SUM in 0..1
#for TERM in 0..1
#include attention_group_sum
#end
#end
  }

#for i in 0..OWN / 8
  if (row${i} < rows) {
#for c in 0..COLUMNS
    if (tx + ${8 * c}u < ${CHUNKS}u) {
      d_qkv[row${i} * qkv_width() + head * ${CHUNKS}u + tx + ${8 * c}u] = sum0_${i}_${c} * params.scale;
    }
#end
  }
#end
}
