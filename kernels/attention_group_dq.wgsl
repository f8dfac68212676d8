// Softmax attention over packed segments, gradient of the queries, for GPUs: 32 query rows of one head per workgroup.
// Formulas as in attention_dq.wgsl.

#include common

@group(0) @binding(2) var<storage, read> query_ranges: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> qkv: array<f32>;
@group(0) @binding(4) var<storage, read> o: array<f32>;
@group(0) @binding(5) var<storage, read> d_o: array<f32>;
@group(0) @binding(6) var<storage, read> lse: array<f32>;
@group(0) @binding(7) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(8) var<storage, read_write> d_qkv: array<f32>;

#include attention_group_common

var<workgroup> ranges: array<vec4<u32>, 32>;
var<workgroup> row_stats: array<vec2<f32>, 32>;

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
    let at = min(row, last) * params.heads + head;
    var delta = 0.0;
    for (var c = 0u; c < ${K}u; c++) {
      delta = fma(d_o[at * ${K}u + c], o[at * ${K}u + c], delta);
    }
    row_stats[lane] = vec2<f32>(lse[at] * LOG2E, delta);
    if (row < rows) {
      stats[at] = row_stats[lane];
    }
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
  let o_width = params.heads * ${K}u;
  let q_column = head * ${K}u;
  let k_column = (params.heads + head / params.group) * ${K}u;
  let v_column = k_column + params.kv_heads * ${K}u;
#for i in 0..4
#for c in 0..COLUMNS
  var dq${i}_${c} = 0.0;
#end
#end

  for (var block = 0u; block < blocks; block++) {
    let in_a = block < a_blocks;
    let start = select(b.x + (block - a_blocks) * SIDE, a.x + block * SIDE, in_a);
    let final_key = select(b.y, a.y, in_a) - 1u;
#for i in 0..4
#for j in 0..4
    var s${i}_${j} = 0.0;
    var dp${i}_${j} = 0.0;
#end
#end
#for pass in 0..2
    for (var base = 0u; base < ${K}u; base += SIDE) {
      workgroupBarrier();
      for (var e = lane; e < SIDE * SIDE; e += 64u) {
        let r = e / SIDE;
        let c = e % SIDE;
        var left = 0.0;
        var right = 0.0;
        if (base + c < ${K}u) {
          let row = min(first + r, last);
          let key = min(start + r, final_key);
#if pass == 0
          left = qkv[row * width + q_column + base + c] * to_log2;
          right = qkv[key * width + k_column + base + c];
#else
          left = d_o[row * o_width + q_column + base + c];
          right = qkv[key * width + v_column + base + c];
#end
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
#if pass == 0
        s${i}_${j} = fma(left${i}, right${j}, s${i}_${j});
#else
        dp${i}_${j} = fma(left${i}, right${j}, dp${i}_${j});
#end
#end
#end
      }
    }
#end
#for i in 0..4
    let seen${i} = select(ranges[ty + ${8 * i}u].zw, ranges[ty + ${8 * i}u].xy, in_a);
    let stats${i} = row_stats[ty + ${8 * i}u];
#for j in 0..4
    score[(ty + ${8 * i}u) * PITCH + tx + ${8 * j}u] = select(
      0.0,
      exp2(s${i}_${j} - stats${i}.x) * (dp${i}_${j} - stats${i}.y),
      start + tx + ${8 * j}u - seen${i}.x < length_of(seen${i}),
    );
#end
#end
    for (var base = 0u; base < SIDE; base += ${STAGED}u) {
      workgroupBarrier();
      for (var e = lane; e < ${STAGED * K}u; e += 64u) {
        pool[e] = qkv[min(start + base + e / ${K}u, final_key) * width + k_column + e % ${K}u];
      }
      workgroupBarrier();
      for (var j = 0u; j < ${STAGED}u; j++) {
#for i in 0..4
        let ds${i} = score[(ty + ${8 * i}u) * PITCH + base + j];
#end
#for c in 0..COLUMNS
        let k${c} = pool[j * ${K}u + tx + ${8 * c}u];
#for i in 0..4
        dq${i}_${c} = fma(ds${i}, k${c}, dq${i}_${c});
#end
#end
      }
    }
  }

#for i in 0..4
  let row${i} = first + ty + ${8 * i}u;
  if (row${i} < rows) {
#for c in 0..COLUMNS
    if (tx + ${8 * c}u < ${K}u) {
      d_qkv[row${i} * width + q_column + tx + ${8 * c}u] = dq${i}_${c} * params.scale;
    }
#end
  }
#end
}
