// Softmax attention over packed segments, gradients of keys and values: one thread takes HELD key rows of one key head
// and walks, for each query head of its group, through the queries that see any of them, TAKEN at a time.
// dv = pᵀ·dO, dk = scale dsᵀ·q; the sum over the group's heads is in a fixed order.

#include common
#include attention_common
#include attention_key_ranges

@group(0) @binding(2) var<storage, read> key_ranges: array<vec4<u32>>;
#if IMAGE
@group(0) @binding(4) var d_o: texture_storage_2d<rgba32float, read>;
@group(0) @binding(5) var stats: texture_storage_2d<rgba32float, read>;
#else
@group(0) @binding(4) var<storage, read> d_o: array<Chunk>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
#end
@group(0) @binding(6) var<storage, read_write> d_qkv: array<Chunk>;

fn load_d_o(row: u32, column: u32) -> Chunk {
#if IMAGE
  return textureLoad(d_o, vec2<u32>(column, row));
#else
  return d_o[row * (params.heads * ${CHUNKS}u) + column];
#end
}

fn load_stats(row: u32, head: u32) -> vec2<f32> {
#if IMAGE
  return textureLoad(stats, vec2<u32>(head, row)).xy;
#else
  return stats[row * params.heads + head];
#end
}

fn own_heads() -> u32 {
  return params.kv_heads;
}

#include attention_thread

  // The queries that see each key: of its own run, of the first and of the second branch.
  var x = vec2<u32>(0u, 0u);
  var y = vec2<u32>(0u, 0u);
  var z = vec2<u32>(0u, 0u);
#for j in 0..HELD
  let key${j} = first + ${j}u;
  let seen_by${j} = seen_by_queries(min(key${j}, last), key${j} < rows);
  x = hull(x, seen_by${j}[0]);
  y = hull(y, seen_by${j}[1]);
  z = hull(z, seen_by${j}[2]);
#end
  let x_blocks = blocks_of(x, ${TAKEN}u);
  let y_blocks = x_blocks + blocks_of(y, ${TAKEN}u);
  let blocks = y_blocks + blocks_of(z, ${TAKEN}u);

  let kv_head = own_head;
  let k_column = (params.heads + kv_head) * ${CHUNKS}u;
  let v_column = k_column + params.kv_heads * ${CHUNKS}u;
#for j in 0..HELD
#for c in 0..CHUNKS
  var k${j}_${c} = Chunk(0.0);
  var v${j}_${c} = Chunk(0.0);
  var dk${j}_${c} = Chunk(0.0);
  var dv${j}_${c} = Chunk(0.0);
#end
#end
  for (var c = 0u; c < params.chunks; c++) { // see attention_common: loads in a loop compile faster
#for j in 0..HELD
#for c in 0..CHUNKS - 1
    k${j}_${c} = k${j}_${c + 1};
    v${j}_${c} = v${j}_${c + 1};
#end
    k${j}_${CHUNKS - 1} = load(min(key${j}, last), k_column + c) * to_log2;
    v${j}_${CHUNKS - 1} = load(min(key${j}, last), v_column + c);
#end
  }

  // One loop over heads and blocks: a loop within a loop costs a software adapter one more pass each time.
  var block = 0u;
  var head = kv_head * params.group + params.from_head;
  let total = blocks * (params.to_head - params.from_head);
  for (var step = 0u; step < total; step++) {
    let in_x = block < x_blocks;
    let in_y = block < y_blocks;
    let walked = select(select(z, y, in_y), x, in_x);
    let before = select(select(y_blocks, x_blocks, in_y), 0u, in_x);
    let start = walked.x + (block - before) * ${TAKEN}u;
    let final_query = walked.y - 1u;
#for i in 0..TAKEN
    let query${i} = min(start + ${i}u, final_query);
    let stats${i} = load_stats(query${i}, head);
#for j in 0..HELD
    var s${i}_${j} = 0.0;
    var dp${i}_${j} = 0.0;
#end
#end
#for c in 0..CHUNKS
#for i in 0..TAKEN
    let q${i}_${c} = load(query${i}, head * ${CHUNKS}u + ${c}u);
    let g${i}_${c} = load_d_o(query${i}, head * ${CHUNKS}u + ${c}u);
#for j in 0..HELD
    s${i}_${j} = multiply_add(q${i}_${c}, k${j}_${c}, s${i}_${j});
    dp${i}_${j} = multiply_add(g${i}_${c}, v${j}_${c}, dp${i}_${j});
#end
#end
#end
#for j in 0..HELD
    let seen${j} = select(select(seen_by${j}[2], seen_by${j}[1], in_y), seen_by${j}[0], in_x);
    let count${j} = length_of(seen${j});
#for i in 0..TAKEN
    let p${i}_${j} = select(
      0.0,
      exp2(s${i}_${j} - stats${i}.x),
      start + ${i}u - seen${j}.x < count${j},
    );
    let ds${i}_${j} = p${i}_${j} * (dp${i}_${j} - stats${i}.y);
#end
#end
#for c in 0..CHUNKS
#for j in 0..HELD
#for i in 0..TAKEN
    dk${j}_${c} = fma(Chunk(ds${i}_${j}), q${i}_${c}, dk${j}_${c});
    dv${j}_${c} = fma(Chunk(p${i}_${j}), g${i}_${c}, dv${j}_${c});
#end
#end
#end
    let wrap = block + 1u == blocks;
    block = select(block + 1u, 0u, wrap);
    head += select(0u, 1u, wrap);
  }

  for (var c = 0u; c < params.chunks; c++) {
#for j in 0..HELD
    if (key${j} < rows) {
      let at = key${j} * qkv_width() + c;
#if ADD
      d_qkv[at + k_column] += dk${j}_0 * params.scale;
      d_qkv[at + v_column] += dv${j}_0;
#else
      d_qkv[at + k_column] = dk${j}_0 * params.scale;
      d_qkv[at + v_column] = dv${j}_0;
#end
    }
#for c in 0..CHUNKS - 1
    dk${j}_${c} = dk${j}_${c + 1};
    dv${j}_${c} = dv${j}_${c + 1};
#end
#end
  }
}
