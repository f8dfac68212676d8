// Softmax attention over packed segments, forward: one thread takes ROWS query rows of one head and walks through the
// keys that any of them sees, KEYS at a time, with the online softmax (Milakov and Gimelshein 2018; FlashAttention).

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
#else
@group(0) @binding(3) var<storage, read> qkv: array<Chunk>;
#end
@group(0) @binding(4) var<storage, read_write> o: array<Chunk>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

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

  // What each row sees (nothing, where the row is beyond those in use), and what the tile walks through.
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
#for c in 0..CHUNKS
  var q${r}_${c} = Chunk(0.0);
  var o${r}_${c} = Chunk(0.0);
#end
  var most${r} = -1e30;
  var sum${r} = 0.0;
#end
  for (var c = 0u; c < params.chunks; c++) { // see attention_common: loads in a loop compile faster
#for r in 0..ROWS
#for c in 0..CHUNKS - 1
    q${r}_${c} = q${r}_${c + 1};
#end
    q${r}_${CHUNKS - 1} = load(min(row${r}, last), q_column + c) * to_log2;
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
#end
#end
#for c in 0..CHUNKS
#for j in 0..KEYS
    let k${c}_${j} = load(key${j}, k_column + ${c}u);
#for r in 0..ROWS
    s${r}_${j} = multiply_add(q${r}_${c}, k${c}_${j}, s${r}_${j});
#end
#end
#end
#for r in 0..ROWS
    let seen${r} = select(range${r}.zw, range${r}.xy, in_a);
    let count${r} = length_of(seen${r});
    var top${r} = most${r};
#for j in 0..KEYS
    s${r}_${j} = select(HIDDEN, s${r}_${j}, start + ${j}u - seen${r}.x < count${r});
    top${r} = max(top${r}, s${r}_${j});
#end
    let shrink${r} = exp2(most${r} - top${r});
    most${r} = top${r};
    sum${r} = sum${r} * shrink${r};
#for j in 0..KEYS
    let p${r}_${j} = exp2(s${r}_${j} - top${r});
    sum${r} += p${r}_${j};
#end
#end
#for c in 0..CHUNKS
#for j in 0..KEYS
    let v${c}_${j} = load(key${j}, v_column + ${c}u);
#end
#for r in 0..ROWS
    o${r}_${c} = o${r}_${c} * shrink${r};
#for j in 0..KEYS
    o${r}_${c} = fma(Chunk(p${r}_${j}), v${c}_${j}, o${r}_${c});
#end
#end
#end
  }

#for r in 0..ROWS
  let at${r} = row${r} * params.heads + head;
  let sees${r} = range${r}.y > range${r}.x || range${r}.w > range${r}.z;
  let share${r} = select(0.0, 1.0 / sum${r}, sees${r});
  if (row${r} < rows) {
    lse[at${r}] = select(0.0, (most${r} + log2(sum${r})) * LN2, sees${r});
  }
#end
  for (var c = 0u; c < params.chunks; c++) {
#for r in 0..ROWS
    if (row${r} < rows) {
      o[at${r} * ${CHUNKS}u + c] = o${r}_0 * share${r};
    }
#for c in 0..CHUNKS - 1
    o${r}_${c} = o${r}_${c + 1};
#end
#end
  }
}
