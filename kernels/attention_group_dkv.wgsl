// Softmax attention over packed segments, gradients of keys and values, for GPUs: 32 key rows of one key head per
// workgroup, the query heads of its group one after another. Formulas as in attention_dkv.wgsl.

#include common

@group(0) @binding(2) var<storage, read> key_ranges: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> qkv: array<f32>;
@group(0) @binding(4) var<storage, read> d_o: array<f32>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> d_qkv: array<f32>;

#include attention_group_common
#include attention_key_ranges

var<workgroup> ranges: array<array<vec2<u32>, 3>, 32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group_id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = params.base + group_id.x + group_id.y * groups.x;
  let kv_head = index % params.kv_heads;
  let first = (index / params.kv_heads) * SIDE;
  let rows = rows_in_use(params.rows, params.extent);
  if (index >= params.workgroups || first >= rows) {
    return;
  }
  let last = rows - 1u;
  let tx = lane % 8u;
  let ty = lane / 8u;
  workgroupBarrier(); // see group.wgsl
  if (lane < SIDE) {
    let key = first + lane;
    ranges[lane] = seen_by_queries(min(key, last), key < rows);
  }
  // What the block sees, found by every invocation from read-only memory: loops with barriers in them need a bound that
  // is the same for the whole workgroup, and one from workgroupUniformLoad has hung on Metal.
  var x = vec2<u32>(0u, 0u);
  var y = vec2<u32>(0u, 0u);
  var z = vec2<u32>(0u, 0u);
  for (var r = 0u; r < SIDE; r++) {
    let seen_by = seen_by_queries(min(first + r, last), true);
    x = hull(x, seen_by[0]);
    y = hull(y, seen_by[1]);
    z = hull(z, seen_by[2]);
  }
  let x_blocks = blocks_of(x, SIDE);
  let y_blocks = x_blocks + blocks_of(y, SIDE);
  let blocks = y_blocks + blocks_of(z, SIDE);

  let to_log2 = params.scale * LOG2E;
  let width = qkv_width();
  let o_width = params.heads * ${K}u;
  let k_column = (params.heads + kv_head) * ${K}u;
  let v_column = k_column + params.kv_heads * ${K}u;
#for i in 0..4
#for c in 0..COLUMNS
  var dk${i}_${c} = 0.0;
  var dv${i}_${c} = 0.0;
#end
#end

  for (var step = 0u; step < blocks * params.group; step++) {
    let block = step % blocks;
    let head = kv_head * params.group + step / blocks;
    let q_column = head * ${K}u;
    let slot = select(select(2u, 1u, block < y_blocks), 0u, block < x_blocks);
    let walked = select(select(z, y, slot == 1u), x, slot == 0u);
    let before = select(select(y_blocks, x_blocks, slot == 1u), 0u, slot == 0u);
    let start = walked.x + (block - before) * SIDE;
    let final_query = walked.y - 1u;
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
          let key = min(first + r, last);
          let query = min(start + r, final_query);
#if pass == 0
          left = qkv[key * width + k_column + base + c] * to_log2;
          right = qkv[query * width + q_column + base + c];
#else
          left = qkv[key * width + v_column + base + c];
          right = d_o[query * o_width + q_column + base + c];
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
#for j in 0..4
    let stats${j} = stats[min(start + tx + ${8 * j}u, final_query) * params.heads + head];
#end
#for i in 0..4
    let seen${i} = ranges[ty + ${8 * i}u][slot];
#for j in 0..4
    s${i}_${j} = select(
      0.0,
      exp2(s${i}_${j} - stats${j}.x),
      start + tx + ${8 * j}u - seen${i}.x < length_of(seen${i}),
    );
    dp${i}_${j} = s${i}_${j} * (dp${i}_${j} - stats${j}.y);
#end
#end
#for pass in 0..2
    workgroupBarrier();
#for i in 0..4
#for j in 0..4
#if pass == 0
    score[(ty + ${8 * i}u) * PITCH + tx + ${8 * j}u] = s${i}_${j};
#else
    score[(ty + ${8 * i}u) * PITCH + tx + ${8 * j}u] = dp${i}_${j};
#end
#end
#end
    for (var base = 0u; base < SIDE; base += ${STAGED}u) {
      workgroupBarrier();
      for (var e = lane; e < ${STAGED * K}u; e += 64u) {
        let query = min(start + base + e / ${K}u, final_query);
#if pass == 0
        pool[e] = d_o[query * o_width + q_column + e % ${K}u];
#else
        pool[e] = qkv[query * width + q_column + e % ${K}u];
#end
      }
      workgroupBarrier();
      for (var j = 0u; j < ${STAGED}u; j++) {
#for i in 0..4
        let weight${i} = score[(ty + ${8 * i}u) * PITCH + base + j];
#end
#for c in 0..COLUMNS
        let x${c} = pool[j * ${K}u + tx + ${8 * c}u];
#for i in 0..4
#if pass == 0
        dv${i}_${c} = fma(weight${i}, x${c}, dv${i}_${c});
#else
        dk${i}_${c} = fma(weight${i}, x${c}, dk${i}_${c});
#end
#end
#end
      }
    }
#end
  }

#for i in 0..4
  let key${i} = first + ty + ${8 * i}u;
  if (key${i} < rows) {
#for c in 0..COLUMNS
    if (tx + ${8 * c}u < ${K}u) {
      d_qkv[key${i} * width + k_column + tx + ${8 * c}u] = dk${i}_${c} * params.scale;
      d_qkv[key${i} * width + v_column + tx + ${8 * c}u] = dv${i}_${c};
    }
#end
  }
#end
}
