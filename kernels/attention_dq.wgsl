// Softmax attention over packed segments, gradient of the queries, from the saved log-sum-exp: one thread takes ROWS
// query rows of one head. With p the weights, dp = dO·v and delta = dO·o: ds = p (dp - delta), dq = scale ds·k.
// It also notes (lse in base 2, delta) of each row and head for the kernel of the keys' and values' gradients.

#include common
#include attention_common

struct Params {
#include attention_params
  stride: u32,    // see spread()
  chunks: u32,    // CHUNKS, as a number that the compiler does not know
}
@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> query_ranges: array<vec4<u32>>;
#if IMAGE
@group(0) @binding(3) var qkv: texture_storage_2d<rgba32float, read>;
@group(0) @binding(7) var stats: texture_storage_2d<rgba32float, write>;
#else
@group(0) @binding(3) var<storage, read> qkv: array<Chunk>;
@group(0) @binding(7) var<storage, read_write> stats: array<vec2<f32>>;
#end
@group(0) @binding(4) var<storage, read> o: array<Chunk>;
@group(0) @binding(5) var<storage, read> d_o: array<Chunk>;
@group(0) @binding(6) var<storage, read> lse: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_qkv: array<Chunk>;

fn load(row: u32, column: u32) -> Chunk {
#if IMAGE
  return textureLoad(qkv, vec2<u32>(column, row));
#else
  return qkv[row * ((params.heads + 2u * params.kv_heads) * ${CHUNKS}u) + column];
#end
}

@compute @workgroup_size(${WG})
fn main(
  @builtin(workgroup_id) group_id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let workgroup = params.base + group_id.x + group_id.y * groups.x;
  if (workgroup >= params.workgroups) {
    return;
  }
  let thread = spread(workgroup, params.stride, params.workgroups) * ${WG}u + lane;
  let head = thread % params.heads;
  let first = (thread / params.heads) * ${ROWS}u;
  let rows = rows_in_use(params.rows, params.extent);
  if (first >= rows) {
    return;
  }
  let last = rows - 1u;

  var a = vec2<u32>(0u, 0u);
  var b = vec2<u32>(0u, 0u);
#for r in 0..ROWS
  let row${r} = first + ${r}u;
  let range${r} = select(vec4<u32>(0u), seen_by_query(query_ranges[min(row${r}, last)]), row${r} < rows);
  a = hull(a, range${r}.xy);
  b = hull(b, range${r}.zw);
#end
  let a_blocks = blocks_of(a, ${KEYS}u);
  let blocks = a_blocks + blocks_of(b, ${KEYS}u);

  let to_log2 = params.scale * LOG2E;
  let q_column = head * ${CHUNKS}u;
  let k_column = (params.heads + head / params.group) * ${CHUNKS}u;
  let v_column = k_column + params.kv_heads * ${CHUNKS}u;
#for r in 0..ROWS
  let at${r} = min(row${r}, last) * params.heads + head;
  let lse${r} = lse[at${r}] * LOG2E;
  var delta${r} = 0.0;
#for c in 0..CHUNKS
  var q${r}_${c} = Chunk(0.0);
  var g${r}_${c} = Chunk(0.0);
  var dq${r}_${c} = Chunk(0.0);
#end
#end
  for (var c = 0u; c < params.chunks; c++) { // see attention_common: loads in a loop compile faster
#for r in 0..ROWS
#for c in 0..CHUNKS - 1
    q${r}_${c} = q${r}_${c + 1};
    g${r}_${c} = g${r}_${c + 1};
#end
    q${r}_${CHUNKS - 1} = load(min(row${r}, last), q_column + c) * to_log2;
    g${r}_${CHUNKS - 1} = d_o[at${r} * ${CHUNKS}u + c];
    delta${r} = multiply_add(g${r}_${CHUNKS - 1}, o[at${r} * ${CHUNKS}u + c], delta${r});
#end
  }

  for (var block = 0u; block < blocks; block++) {
    let in_a = block < a_blocks;
    let start = select(b.x + (block - a_blocks) * ${KEYS}u, a.x + block * ${KEYS}u, in_a);
    let final_key = select(b.y, a.y, in_a) - 1u;
#for j in 0..KEYS
    let key${j} = min(start + ${j}u, final_key);
#for r in 0..ROWS
    var s${r}_${j} = 0.0;
    var dp${r}_${j} = 0.0;
#end
#end
#for c in 0..CHUNKS
#for j in 0..KEYS
    let k${c}_${j} = load(key${j}, k_column + ${c}u);
    let v${c}_${j} = load(key${j}, v_column + ${c}u);
#for r in 0..ROWS
    s${r}_${j} = multiply_add(q${r}_${c}, k${c}_${j}, s${r}_${j});
    dp${r}_${j} = multiply_add(g${r}_${c}, v${c}_${j}, dp${r}_${j});
#end
#end
#end
#for r in 0..ROWS
    let seen${r} = select(range${r}.zw, range${r}.xy, in_a);
    let count${r} = length_of(seen${r});
#for j in 0..KEYS
    let ds${r}_${j} = select(
      0.0,
      exp2(s${r}_${j} - lse${r}) * (dp${r}_${j} - delta${r}),
      start + ${j}u - seen${r}.x < count${r},
    );
#end
#end
#for c in 0..CHUNKS
#for r in 0..ROWS
#for j in 0..KEYS
    dq${r}_${c} = fma(Chunk(ds${r}_${j}), k${c}_${j}, dq${r}_${c});
#end
#end
#end
  }

  let width = (params.heads + 2u * params.kv_heads) * ${CHUNKS}u;
#for r in 0..ROWS
  if (row${r} < rows) {
#if IMAGE
    textureStore(stats, vec2<u32>(head, row${r}), vec4<f32>(lse${r}, delta${r}, 0.0, 0.0));
#else
    stats[at${r}] = vec2<f32>(lse${r}, delta${r});
#end
  }
#end
  for (var c = 0u; c < params.chunks; c++) {
#for r in 0..ROWS
    if (row${r} < rows) {
      d_qkv[row${r} * width + q_column + c] = dq${r}_0 * params.scale;
    }
#for c in 0..CHUNKS - 1
    dq${r}_${c} = dq${r}_${c + 1};
#end
#end
  }
}
