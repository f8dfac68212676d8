// Copies a matrix into the form that products read: f32 (BF16 0) or packed bf16 texels, in a texture or a buffer, the
// ends of rows filled with zeros. A thread makes one texel: four f32, or eight bf16 with the even column in the low half.
// With COLUMNS, bf16 texels hold eight rows of one column, and the matrix lies on its side: a thread makes four of them.
#include common
struct Params { rows: u32, columns: u32, texels: u32, extent: u32 }
@group(0) @binding(1) var<uniform> params: Params;
#if IMAGE
@group(0) @binding(2) var source: texture_storage_2d<rgba32float, read>;
#else
#if VEC == 4
@group(0) @binding(2) var<storage, read> source: array<vec4<f32>>;
#else
@group(0) @binding(2) var<storage, read> source: array<f32>;
#end
#end
#if TEXTURE
#if BF16
@group(0) @binding(3) var packed: texture_storage_2d<rgba32uint, write>;
#else
@group(0) @binding(3) var packed: texture_storage_2d<rgba32float, write>;
#end
#else
@group(0) @binding(3) var<storage, read_write> packed: array<vec4<u32>>;
#end
#include bf16

fn pair(low: f32, high: f32) -> u32 {
  return to_bf16(low) | (to_bf16(high) << 16u);
}

fn quad(row: u32, column: u32) -> vec4<f32> {
#if IMAGE
  return textureLoad(source, vec2(column / 4u, row));
#else
#if VEC == 4
  if (column >= params.columns) {
    return vec4(0.0);
  }
  return source[(row * params.columns + column) / 4u];
#else
  var values = vec4(0.0);
#for i in 0..4
  if (column + ${i}u < params.columns) {
    values[${i}] = source[row * params.columns + column + ${i}u];
  }
#end
  return values;
#end
#end
}

#include item_start
#if COLUMNS
  // Texels along a row of the texture are blocks of eight rows of the matrix.
  let row = index % params.texels * 8u;
  let column = index / params.texels * 4u;
  if (row >= rows_in_use(params.rows, params.extent) || column >= params.columns) {
    return;
  }
#for r in 0..8
  let v${r} = quad(row + ${r}u, column);
#end
#for q in 0..4
  textureStore(packed, vec2(row / 8u, column + ${q}u), vec4(
    pair(v0[${q}], v1[${q}]), pair(v2[${q}], v3[${q}]), pair(v4[${q}], v5[${q}]), pair(v6[${q}], v7[${q}]),
  ));
#end
#else
  let row = index / params.texels;
  let texel = index % params.texels;
  if (row >= rows_in_use(params.rows, params.extent)) {
    return;
  }
#if BF16
  let a = quad(row, texel * 8u);
  let b = quad(row, texel * 8u + 4u);
  let value = vec4(pair(a.x, a.y), pair(a.z, a.w), pair(b.x, b.y), pair(b.z, b.w));
#else
  let value = quad(row, texel * 4u);
#end
#if TEXTURE
  textureStore(packed, vec2(texel, row), value);
#else
  packed[row * params.texels + texel] = value;
#end
#end
}
