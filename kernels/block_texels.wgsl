// A matrix of blocks (operand.wgsl) as a texture of blocks: software adapters load texels fastest, and one of these has up
// to eight times the values that one of f32 has. A thread makes a texel: of values, or of a group's scales.
struct Params {
  rows: u32,
  texels: u32, // of a row of the image, whole groups
  blocks: u32, // of a row
  stride: u32, // words of a row of the source
}
@group(0) @binding(0) var<uniform> params: Params;
#include operand NAME=source AT=1 FORMAT=FORMAT TEXTURE=0
@group(0) @binding(2) var image: texture_storage_2d<rgba32uint, write>;

// The eight values from 8 * at on, and the scale and minimum of their block; beyond the last block its own.
fn eight(row: u32, at: u32) -> vec4<u32> {
  return source_at(row, min(at, 4u * params.blocks - 1u), params.stride);
}

#include item_start
  let row = index / params.texels;
  if (row >= params.rows) {
    return;
  }
  let texel = index - row * params.texels;
  let chunk = texel / ${VALUES + 1}u;
  let place = texel % ${VALUES + 1}u;
  var words = vec4(0u);
  if (place < ${VALUES}u) {
#if FORMAT == 3
    let first = 2u * (chunk * ${VALUES}u + place);
    words = vec4(eight(row, first).xy, eight(row, first + 1u).xy);
#else
    let first = 4u * (chunk * ${VALUES}u + place);
    words = vec4(eight(row, first).x, eight(row, first + 1u).x, eight(row, first + 2u).x, eight(row, first + 3u).x);
#end
  } else {
#if FORMAT == 5
    words = vec4(eight(row, 8u * chunk).zw, eight(row, 8u * chunk + 4u).zw);
#else
    let first = 16u * chunk;
    words = vec4(eight(row, first).z, eight(row, first + 4u).z, eight(row, first + 8u).z, eight(row, first + 12u).z);
#end
  }
  textureStore(image, vec2(texel, row), words);
}
