// Logits to their gradients, in place: coef · (one-hot − softmax) for a chunk [N, C] of the vocabulary's columns
// [offset, offset + C). A row whose coefficient is 0 (a dummy target) gives exact zeros.
#include common
#include lanes

struct Params {
  rows: u32,
  extent: u32,
  width: u32, // lanes of a row of the chunk
  offset: u32,
  span: u32, // lanes of an invocation, a multiple of UNROLL
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> state: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> coef: array<f32>;
@group(0) @binding(5) var<storage, read_write> logits: array<Lane>;

#include spans
  let base = row * params.width;
  let scale = coef[row];
  let known = state[row];
  let factor = -scale / known.y;
  // Where the target is not in this chunk, a column beyond it.
  let column = targets[row] - params.offset;
  for (var i = begin; i < end; i += ${UNROLL}u) {
#for u in 0..UNROLL
    let d${u} = factor * exp(logits[base + i + ${u}u] - known.x);
#if VEC == 4
    let hit${u} = (i + ${u}u) * 4u + vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(column);
#else
    let hit${u} = i + ${u}u == column;
#end
    logits[base + i + ${u}u] = select(d${u} + select(Lane(), Lane() + scale, hit${u}), Lane(), scale == 0.0);
#end
  }
}
