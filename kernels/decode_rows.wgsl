// Rows as decode_tile.wgsl reads them: x times the norm's gain as an image, and the scale that the norm then puts on a
// product's sums. An invocation a row, whose squares are added in decode_linear.wgsl's order (SPLIT 1): the bits of a
// sequence's product must not depend on how many there are.
#include lanes

struct Params {
  rows: u32,
  quads: u32, // of a row
  elements: f32, // numbers of a row
  eps: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(4) var image: texture_storage_2d<rgba32float, write>;
#if NORM
@group(0) @binding(5) var<storage, read_write> scale: array<f32>;
#end

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.x;
  if (row >= params.rows) {
    return;
  }
  var squares = vec4(0.0);
  for (var i = 0u; i < params.quads; i++) {
    let value = x[row * params.quads + i];
    squares = fma(value, value, squares);
    textureStore(image, vec2(i, row), value * gain[i]);
  }
#if NORM
  scale[row] = 1.0 / sqrt(total(squares) / params.elements + params.eps);
#end
}
