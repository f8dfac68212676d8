// Softmax attention over packed segments, forward, for GPUs: OWN query rows of one head per workgroup.

#include common
#include attention_group_common

@group(0) @binding(4) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

fn own_0(row: u32, head: u32, chunk: u32) -> vec4<f32> {
  return qkv[row * qkv_width() + head * ${CHUNKS}u + chunk] * (params.scale * LOG2E);
}

#include attention_group_queries

  // Of the lane's four rows: the highest score so far, and of its own columns the sum of weights.
  var most = vec4<f32>(-1e30);
  var total = vec4<f32>(0.0);

  for (var block = 0u; block < blocks; block++) {
    let in_a = block < a_blocks;
    let start = select(b.x + (block - a_blocks) * TAKEN, a.x + block * TAKEN, in_a);
    let final_row = select(b.y, a.y, in_a) - 1u;
#for PASS in 0..1
#include attention_group_scores
#end
#for i in 0..4
    let seen${i} = select(range${i}.zw, range${i}.xy, in_a);
#end
    var top = most;
#for j in 0..KEYS
    let s${j} = vec4<f32>(
#for i in 0..4
      select(HIDDEN, x0_${i}_${j}, start + tx + ${TX * j}u - seen${i}.x < length_of(seen${i})),
#end
    );
    top = max(top, s${j});
#end
    weights[tx][ty] = top;
    workgroupBarrier();
#for x in 0..TX
    top = max(top, weights[${x}][ty]);
#end
    workgroupBarrier();
    let shrink = exp2(most - top);
    most = top;
    total *= shrink;
#for j in 0..KEYS
    let p${j} = exp2(s${j} - top);
    total += p${j};
    weights[tx + ${TX * j}u][swizzled] = p${j};
#end
#for i in 0..4
#for c in 0..COLUMNS
    sum_${i}_${c} *= shrink[${i}];
#end
#end
#for TERM in 1..2
#include attention_group_sum
#end
  }

  workgroupBarrier();
  weights[tx][ty] = total;
  workgroupBarrier();
  var whole = vec4<f32>(0.0);
#for x in 0..TX
  whole += weights[${x}][ty];
#end
#for i in 0..4
  if (row${i} < rows) {
    let sees = length_of(range${i}.xy) + length_of(range${i}.zw) > 0u;
    let at = row${i} * params.heads + head;
    let share = select(0.0, 1.0 / whole[${i}], sees);
    if (tx == 0u) {
      lse[at] = select(0.0, (most[${i}] + log2(whole[${i}])) * LN2, sees);
    }
#for c in 0..COLUMNS
    if (tx + ${TX * c}u < ${CHUNKS}u) {
      o[at * ${CHUNKS}u + tx + ${TX * c}u] = sum_${i}_${c} * share;
    }
#end
  }
#end
}
