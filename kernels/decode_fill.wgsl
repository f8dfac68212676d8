// Copies keys and values of packed prompts (their qkv rows, keys already turned) into the slots' caches.
#include common
#include lanes

struct Params {
  rows: u32,
  extent: u32,
  width: u32, // lanes of a row of qkv
  skip: u32, // lanes of its queries
  copied: u32, // lanes of its keys and values
  positions: u32, // of a slot's cache
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> slots: array<u32>; // NO_EXTENT: the row is nobody's
@group(0) @binding(3) var<storage, read> row_positions: array<u32>;
@group(0) @binding(4) var<storage, read> qkv: array<Lane>;
@group(0) @binding(5) var<storage, read_write> cache: array<Lane>;

#include item_start
  let row = index / params.copied;
  if (row >= rows_in_use(params.rows, params.extent) || slots[row] == NO_EXTENT) {
    return;
  }
  let i = index % params.copied;
  let target_row = slots[row] * params.positions + row_positions[row];
  cache[target_row * params.copied + i] = qkv[row * params.width + params.skip + i];
}
