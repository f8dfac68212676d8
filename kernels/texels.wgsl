// Copies a matrix whose rows are whole texels from a buffer into a texture, where rows are no multiples of 256 bytes.
struct Params { rows: u32, texels: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(2) var copy: texture_storage_2d<rgba32uint, write>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (group.x + group.y * groups.x) * 64u + lane;
  let row = index / params.texels;
  if (row >= params.rows) {
    return;
  }
  textureStore(copy, vec2(index - row * params.texels, row), source[index]);
}
