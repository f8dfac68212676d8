// Softmax attention over packed segments, forward: one thread takes HELD query rows of one head and walks through the
// keys that any of them sees, TAKEN at a time, with the online softmax (Milakov and Gimelshein 2018; FlashAttention).

#include common
#include attention_common

@group(0) @binding(4) var<storage, read_write> o: array<Chunk>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

#include attention_queries
#for r in 0..HELD
#for c in 0..CHUNKS
  var q${r}_${c} = Chunk(0.0);
  var o${r}_${c} = Chunk(0.0);
#end
  var most${r} = -1e30;
  var sum${r} = 0.0;
#end
  for (var c = 0u; c < params.chunks; c++) { // see attention_common: loads in a loop compile faster
#for r in 0..HELD
#for c in 0..CHUNKS - 1
    q${r}_${c} = q${r}_${c + 1};
#end
    q${r}_${CHUNKS - 1} = load(min(row${r}, last), q_column + c) * to_log2;
#end
  }

  for (var block = 0u; block < blocks; block++) {
#include attention_keys_taken
#for j in 0..TAKEN
#for r in 0..HELD
    var s${r}_${j} = 0.0;
#end
#end
#for c in 0..CHUNKS
#for j in 0..TAKEN
    let k${c}_${j} = load(key${j}, k_column + ${c}u);
#for r in 0..HELD
    s${r}_${j} = multiply_add(q${r}_${c}, k${c}_${j}, s${r}_${j});
#end
#end
#end
#for r in 0..HELD
    let seen${r} = select(range${r}.zw, range${r}.xy, in_a);
    let count${r} = length_of(seen${r});
    var top${r} = most${r};
#for j in 0..TAKEN
    s${r}_${j} = select(HIDDEN, s${r}_${j}, start + ${j}u - seen${r}.x < count${r});
    top${r} = max(top${r}, s${r}_${j});
#end
    let shrink${r} = exp2(most${r} - top${r});
    most${r} = top${r};
    sum${r} = sum${r} * shrink${r};
#for j in 0..TAKEN
    let p${r}_${j} = exp2(s${r}_${j} - top${r});
    sum${r} += p${r}_${j};
#end
#end
#for c in 0..CHUNKS
#for j in 0..TAKEN
    let v${c}_${j} = load(key${j}, v_column + ${c}u);
#end
#for r in 0..HELD
    o${r}_${c} = o${r}_${c} * shrink${r};
#for j in 0..TAKEN
    o${r}_${c} = fma(Chunk(p${r}_${j}), v${c}_${j}, o${r}_${c});
#end
#end
#end
  }

#for r in 0..HELD
  let at${r} = row${r} * params.heads + head;
  let sees${r} = range${r}.y > range${r}.x || range${r}.w > range${r}.z;
  let share${r} = select(0.0, 1.0 / sum${r}, sees${r});
  if (row${r} < rows) {
    lse[at${r}] = select(0.0, (most${r} + log2(sum${r})) * LN2, sees${r});
  }
#end
  for (var c = 0u; c < params.chunks; c++) {
#for r in 0..HELD
    if (row${r} < rows) {
      o[at${r} * ${CHUNKS}u + c] = o${r}_0 * share${r};
    }
#for c in 0..CHUNKS - 1
    o${r}_${c} = o${r}_${c + 1};
#end
#end
  }
}
