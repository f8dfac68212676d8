// What the gradients need of each row and head: lse in base 2, and delta = dO·o. An invocation makes one.

#include common

struct Params {
  rows: u32,
  extent: u32,
  heads: u32,
}
@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> o: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read_write> stats: array<vec2<f32>>;

#include item_start
  if (index >= rows_in_use(params.rows, params.extent) * params.heads) {
    return;
  }
  var delta = 0.0;
  for (var c = 0u; c < ${CHUNKS}u; c++) {
    let a = d_o[index * ${CHUNKS}u + c];
    let b = o[index * ${CHUNKS}u + c];
    delta = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, delta))));
  }
  stats[index] = vec2<f32>(lse[index] * 1.4426950408889634, delta);
}
