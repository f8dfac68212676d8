// Rotary embedding of the queries and keys of qkv [T, (H + 2G) K], in place: element i of a head turns with element
// i + K/2 by the angle of its row's position; INVERSE turns back. An invocation takes one lane of one row's
// angles and every `parts`-th head.
#include common
#include lanes

struct Params {
  rows: u32,
  extent: u32,
  width: u32, // lanes of a row of qkv
  half: u32, // lanes of half a head
  heads: u32, // query and key heads
  parts: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> table: array<Lane>;
@group(0) @binding(4) var<storage, read_write> qkv: array<Lane>;

#include item_start
  let i = index % params.half;
  let part = index / params.half % params.parts;
  let row = index / params.half / params.parts;
  if (row >= rows_in_use(params.rows, params.extent)) {
    return;
  }
  let angle = positions[row] * 2u * params.half + i;
  let cosine = table[angle];
#if INVERSE
  let sine = -table[angle + params.half];
#else
  let sine = table[angle + params.half];
#end
  for (var head = part; head < params.heads; head += params.parts) {
    let at = row * params.width + head * 2u * params.half + i;
    let a = qkv[at];
    let b = qkv[at + params.half];
    qkv[at] = a * cosine - b * sine;
    qkv[at + params.half] = b * cosine + a * sine;
  }
}
