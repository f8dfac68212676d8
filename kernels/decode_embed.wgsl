// The embeddings of the slots' current tokens; the table may be a window of a larger one, rows [first, first + held).
#include lanes

struct Params {
  slots: u32,
  row: u32, // words of a row of state
  width: u32, // lanes of an embedding
  vocabulary: u32,
  first: u32,
  held: u32,
  stride: u32, // see operand.wgsl
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> state: array<u32>;
#include operand_lanes NAME=table AT=3 FORMAT=FORMAT TEXTURE=0
@group(0) @binding(4) var<storage, read_write> x: array<Lane>;

#include item_start
  let slot = index / params.width;
  if (slot >= params.slots) {
    return;
  }
  let token = min(state[slot * params.row], params.vocabulary - 1u);
  // A token before the window wraps around to a large number.
  let source = token - params.first;
  if (source < params.held) {
    x[index] = table_lane(source, index % params.width, params.stride);
  }
}
