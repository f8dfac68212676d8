// Softmax attention over packed segments, gradient of the queries, from the saved log-sum-exp: one thread takes HELD
// query rows of one head. With p the weights, dp = dO·v and delta = dO·o: ds = p (dp - delta), dq = scale ds·k.
// It also notes (lse in base 2, delta) of each row and head for the kernel of the keys' and values' gradients.

#include common
#include attention_common

#if IMAGE
@group(0) @binding(7) var stats: texture_storage_2d<rgba32float, write>;
#else
@group(0) @binding(7) var<storage, read_write> stats: array<vec2<f32>>;
#end
@group(0) @binding(4) var<storage, read> o: array<Chunk>;
@group(0) @binding(5) var<storage, read> d_o: array<Chunk>;
@group(0) @binding(6) var<storage, read> lse: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_qkv: array<Chunk>;

#include attention_queries
#for r in 0..HELD
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
#for r in 0..HELD
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
#include attention_keys_taken
#for j in 0..TAKEN
#for r in 0..HELD
    var s${r}_${j} = 0.0;
    var dp${r}_${j} = 0.0;
#end
#end
#for c in 0..CHUNKS
#for j in 0..TAKEN
    let k${c}_${j} = load(key${j}, k_column + ${c}u);
    let v${c}_${j} = load(key${j}, v_column + ${c}u);
#for r in 0..HELD
    s${r}_${j} = multiply_add(q${r}_${c}, k${c}_${j}, s${r}_${j});
    dp${r}_${j} = multiply_add(g${r}_${c}, v${c}_${j}, dp${r}_${j});
#end
#end
#end
#for r in 0..HELD
    let seen${r} = select(range${r}.zw, range${r}.xy, in_a);
    let count${r} = length_of(seen${r});
#for j in 0..TAKEN
    let ds${r}_${j} = select(
      0.0,
      exp2(s${r}_${j} - lse${r}) * (dp${r}_${j} - delta${r}),
      start + ${j}u - seen${r}.x < count${r},
    );
#end
#end
#for c in 0..CHUNKS
#for r in 0..HELD
#for j in 0..TAKEN
    dq${r}_${c} = fma(Chunk(ds${r}_${j}), k${c}_${j}, dq${r}_${c});
#end
#end
#end
  }

#for r in 0..HELD
  if (row${r} < rows) {
#if IMAGE
    textureStore(stats, vec2<u32>(head, row${r}), vec4<f32>(lse${r}, delta${r}, 0.0, 0.0));
#else
    stats[at${r}] = vec2<f32>(lse${r}, delta${r});
#end
  }
#end
  for (var c = 0u; c < params.chunks; c++) {
#for r in 0..HELD
    if (row${r} < rows) {
      d_qkv[row${r} * qkv_width() + q_column + c] = dq${r}_0 * params.scale;
    }
#for c in 0..CHUNKS - 1
    dq${r}_${c} = dq${r}_${c + 1};
#end
#end
  }
}
