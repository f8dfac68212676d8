// The embeddings of the slots' current tokens.
#include lanes

struct Params {
  slots: u32,
  row: u32, // words of a row of state
  width: u32, // lanes of an embedding
  vocabulary: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> state: array<u32>;
@group(0) @binding(3) var<storage, read> table: array<Lane>;
@group(0) @binding(4) var<storage, read_write> x: array<Lane>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (group.x + group.y * groups.x) * 64u + lane;
  let slot = index / params.width;
  if (slot >= params.slots) {
    return;
  }
  let token = min(state[slot * params.row], params.vocabulary - 1u);
  x[index] = table[token * params.width + index % params.width];
}
