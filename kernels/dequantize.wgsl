// The values of a matrix of blocks (operand.wgsl) as an f32 texture: on software adapters products read textures fastest,
// and what is written once here is read by every tile.
struct Params { rows: u32, texels: u32, stride: u32 }
@group(0) @binding(0) var<uniform> params: Params;
#include operand NAME=source AT=1 FORMAT=FORMAT TEXTURE=0
@group(0) @binding(2) var image: texture_storage_2d<rgba32float, write>;

#include item_start
  let row = index / params.texels;
  if (row >= params.rows) {
    return;
  }
  let at = index - row * params.texels;
  let texel = source_at(row, at, params.stride);
  textureStore(image, vec2(2u * at, row), source_quad(texel, 0u));
  textureStore(image, vec2(2u * at + 1u, row), source_quad(texel, 1u));
}
