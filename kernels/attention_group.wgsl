// Softmax attention over packed segments, forward, for GPUs: 32 query rows of one head per workgroup.

#include common

@group(0) @binding(2) var<storage, read> query_ranges: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> qkv: array<f32>;
@group(0) @binding(4) var<storage, read_write> o: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

#include attention_group_common

var<workgroup> ranges: array<vec4<u32>, 32>;
var<workgroup> most: array<f32, 32>;
var<workgroup> sum: array<f32, 32>;
var<workgroup> shrink: array<f32, 32>;
var<workgroup> halves: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group_id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = params.base + group_id.x + group_id.y * groups.x;
  let head = index % params.heads;
  let first = (index / params.heads) * SIDE;
  let rows = rows_in_use(params.rows, params.extent);
  if (index >= params.workgroups || first >= rows) {
    return;
  }
  let last = rows - 1u;
  let tx = lane % 8u;
  let ty = lane / 8u;
  workgroupBarrier(); // see group.wgsl
  if (lane < SIDE) {
    let row = first + lane;
    ranges[lane] = select(vec4<u32>(0u), seen_by_query(query_ranges[min(row, last)]), row < rows);
    most[lane] = -1e30;
    sum[lane] = 0.0;
  }
  // What the block sees, found by every invocation from read-only memory: loops with barriers in them need a bound that
  // is the same for the whole workgroup, and one from workgroupUniformLoad has hung on Metal.
  var a = vec2<u32>(0u, 0u);
  var b = vec2<u32>(0u, 0u);
  for (var r = 0u; r < SIDE; r++) {
    let range = seen_by_query(query_ranges[min(first + r, last)]);
    a = hull(a, range.xy);
    b = hull(b, range.zw);
  }
  let a_blocks = blocks_of(a, SIDE);
  let blocks = a_blocks + blocks_of(b, SIDE);

  let to_log2 = params.scale * LOG2E;
  let width = qkv_width();
  let q_column = head * ${K}u;
  let k_column = (params.heads + head / params.group) * ${K}u;
  let v_column = k_column + params.kv_heads * ${K}u;
#for i in 0..4
#for c in 0..COLUMNS
  var o${i}_${c} = 0.0;
#end
#end

  for (var block = 0u; block < blocks; block++) {
    let in_a = block < a_blocks;
    let start = select(b.x + (block - a_blocks) * SIDE, a.x + block * SIDE, in_a);
    let final_key = select(b.y, a.y, in_a) - 1u;
#for i in 0..4
#for j in 0..4
    var s${i}_${j} = 0.0;
#end
#end
    for (var base = 0u; base < ${K}u; base += SIDE) {
      workgroupBarrier();
      for (var e = lane; e < SIDE * SIDE; e += 64u) {
        let r = e / SIDE;
        let c = e % SIDE;
        var left = 0.0;
        var right = 0.0;
        if (base + c < ${K}u) {
          left = qkv[min(first + r, last) * width + q_column + base + c] * to_log2;
          right = qkv[min(start + r, final_key) * width + k_column + base + c];
        }
        pool[r * PITCH + c] = left;
        pool[(SIDE + r) * PITCH + c] = right;
      }
      workgroupBarrier();
      for (var c = 0u; c < SIDE; c++) {
#for i in 0..4
        let left${i} = pool[(ty + ${8 * i}u) * PITCH + c];
#end
#for j in 0..4
        let right${j} = pool[(SIDE + tx + ${8 * j}u) * PITCH + c];
#for i in 0..4
        s${i}_${j} = fma(left${i}, right${j}, s${i}_${j});
#end
#end
      }
    }
#for i in 0..4
    let seen${i} = select(ranges[ty + ${8 * i}u].zw, ranges[ty + ${8 * i}u].xy, in_a);
#for j in 0..4
    score[(ty + ${8 * i}u) * PITCH + tx + ${8 * j}u] =
      select(HIDDEN, s${i}_${j}, start + tx + ${8 * j}u - seen${i}.x < length_of(seen${i}));
#end
#end
    workgroupBarrier();

    // Two lanes a row: highest score, weights, their sum.
    let row = lane / 2u;
    let side = row * PITCH + (lane % 2u) * 16u;
    var top = most[row];
    for (var j = 0u; j < 16u; j++) {
      top = max(top, score[side + j]);
    }
    halves[lane] = top;
    workgroupBarrier();
    top = max(halves[row * 2u], halves[row * 2u + 1u]);
    var part = 0.0;
    for (var j = 0u; j < 16u; j++) {
      let p = exp2(score[side + j] - top);
      score[side + j] = p;
      part += p;
    }
    workgroupBarrier();
    halves[lane] = part;
    workgroupBarrier();
    if (lane % 2u == 0u) {
      shrink[row] = exp2(most[row] - top);
      sum[row] = sum[row] * shrink[row] + halves[lane] + halves[lane + 1u];
      most[row] = top;
    }
    workgroupBarrier();

#for i in 0..4
#for c in 0..COLUMNS
    o${i}_${c} *= shrink[ty + ${8 * i}u];
#end
#end
    for (var base = 0u; base < SIDE; base += ${STAGED}u) {
      workgroupBarrier();
      for (var e = lane; e < ${STAGED * K}u; e += 64u) {
        pool[e] = qkv[min(start + base + e / ${K}u, final_key) * width + v_column + e % ${K}u];
      }
      workgroupBarrier();
      for (var j = 0u; j < ${STAGED}u; j++) {
#for i in 0..4
        let p${i} = score[(ty + ${8 * i}u) * PITCH + base + j];
#end
#for c in 0..COLUMNS
        let v${c} = pool[j * ${K}u + tx + ${8 * c}u];
#for i in 0..4
        o${i}_${c} = fma(p${i}, v${c}, o${i}_${c});
#end
#end
      }
    }
  }

  workgroupBarrier();
#for i in 0..4
  let row${i} = ty + ${8 * i}u;
  if (first + row${i} < rows) {
    let sees = length_of(ranges[row${i}].xy) + length_of(ranges[row${i}].zw) > 0u;
    let at = (first + row${i}) * params.heads + head;
    let share = select(0.0, 1.0 / sum[row${i}], sees);
    if (tx == 0u) {
      lse[at] = select(0.0, (most[row${i}] + log2(sum[row${i}])) * LN2, sees);
    }
#for c in 0..COLUMNS
    if (tx + ${8 * c}u < ${K}u) {
      o[at * ${K}u + tx + ${8 * c}u] = o${i}_${c} * share;
    }
#end
  }
#end
}
