// Softmax attention over packed segments, forward, for GPUs: OWN query rows of one head per workgroup, which stay in
// workgroup memory.

#include common
#include attention_group_common

@group(0) @binding(4) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

// Lanes that share a row's softmax.
const SHARERS = ${64 / OWN}u;

var<workgroup> own_tile: array<vec4<f32>, ${CHUNKS * (OWN + 1)}>;
var<workgroup> most: array<f32, ${OWN}>;
var<workgroup> sum: array<f32, ${OWN}>;
var<workgroup> shrink: array<f32, ${OWN}>;
var<workgroup> parts: array<f32, 64>;

#include attention_group_queries

  let to_log2 = params.scale * LOG2E;
  if (lane < ${OWN}u) {
    most[lane] = -1e30;
    sum[lane] = 0.0;
  }
  for (var e = lane; e < ${OWN * CHUNKS}u; e += 64u) {
    let r = e / ${CHUNKS}u;
    let c = e % ${CHUNKS}u;
    own_tile[c * ${OWN + 1}u + r] = qkv[min(first + r, last) * qkv_width() + head * ${CHUNKS}u + c] * to_log2;
  }
#for i in 0..OWN / 8
#for c in 0..COLUMNS
  var sum0_${i}_${c} = vec4<f32>(0.0);
#end
#end

  for (var block = 0u; block < blocks; block++) {
    let in_a = block < a_blocks;
    let start = select(b.x + (block - a_blocks) * TAKEN, a.x + block * TAKEN, in_a);
    let final_row = select(b.y, a.y, in_a) - 1u;
#for PASS in 0..1
#include attention_group_scores
#end
#for i in 0..OWN / 8
    let seen${i} = select(ranges[ty + ${8 * i}u].zw, ranges[ty + ${8 * i}u].xy, in_a);
#for j in 0..4
    score[(ty + ${8 * i}u) * PITCH + tx + ${8 * j}u] =
      select(HIDDEN, x0_${i}_${j}, start + tx + ${8 * j}u - seen${i}.x < length_of(seen${i}));
#end
#end
    workgroupBarrier();

    // The block's highest score of each row, its weights, their sum.
    let row = lane / SHARERS;
    let side = row * PITCH + (lane % SHARERS) * ${OWN / 2}u;
    var top = most[row];
    for (var j = 0u; j < ${OWN / 2}u; j++) {
      top = max(top, score[side + j]);
    }
    parts[lane] = top;
    workgroupBarrier();
#for s in 0..64 / OWN
    top = max(top, parts[row * SHARERS + ${s}u]);
#end
    var part = 0.0;
    for (var j = 0u; j < ${OWN / 2}u; j++) {
      let p = exp2(score[side + j] - top);
      score[side + j] = p;
      part += p;
    }
    workgroupBarrier();
    parts[lane] = part;
    workgroupBarrier();
    if (lane % SHARERS == 0u) {
      var total = parts[lane];
#for s in 1..64 / OWN
      total += parts[lane + ${s}u];
#end
      shrink[row] = exp2(most[row] - top);
      sum[row] = sum[row] * shrink[row] + total;
      most[row] = top;
    }
    workgroupBarrier();
#for i in 0..OWN / 8
    let shrink${i} = shrink[ty + ${8 * i}u];
#for c in 0..COLUMNS
    sum0_${i}_${c} *= shrink${i};
#end
#end
#for SUM in 0..1
#for TERM in 1..2
#include attention_group_sum
#end
#end
  }

  workgroupBarrier();
#for i in 0..OWN / 8
  let row${i} = ty + ${8 * i}u;
  if (first + row${i} < rows) {
    let sees = length_of(ranges[row${i}].xy) + length_of(ranges[row${i}].zw) > 0u;
    let at = (first + row${i}) * params.heads + head;
    let share = select(0.0, 1.0 / sum[row${i}], sees);
    if (tx == 0u) {
      lse[at] = select(0.0, (most[row${i}] + log2(sum[row${i}])) * LN2, sees);
    }
#for c in 0..COLUMNS
    if (tx + ${8 * c}u < ${CHUNKS}u) {
      o[at * ${CHUNKS}u + tx + ${8 * c}u] = sum0_${i}_${c} * share;
    }
#end
  }
#end
}
