// Copies a matrix whose rows are whole texels from a buffer into a texture, where rows are no multiples of 256 bytes.
struct Params { rows: u32, texels: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(2) var copy: texture_storage_2d<rgba32uint, write>;

#include item_start
  let row = index / params.texels;
  if (row >= params.rows) {
    return;
  }
  textureStore(copy, vec2(index - row * params.texels, row), source[index]);
}
