// A matrix as kernels read it, bound at AT under NAME: by texels, which are 16 bytes of a row: four f32 (FORMAT 0), or
// eight bf16 (1) or f16 (2), an even element in the low half of its word; from a storage texture (TEXTURE) or a buffer.
//
// ggml's block formats (3: q8_0, 4: q4_0, 5: q4_1; lib/ops/quantized.ts lays them out) come from a buffer of words: a
// row's values, then its scales, one for 32 values. What stands for a texel is made of eight values: their words in x
// and y, the bits of scale and minimum in z and w. All zeros are a texel of zeros here, too. In a texture
// (block_texels.wgsl) a texel has 16 values of q8_0 or 32 of the others; after those of 4, 4 and 2 blocks comes one of
// their scales in f32, of q4_1 each with its minimum.
#if TEXTURE
#if FORMAT == 0
@group(0) @binding(${AT}) var ${NAME}: texture_storage_2d<rgba32float, read>;
#else
@group(0) @binding(${AT}) var ${NAME}: texture_storage_2d<rgba32uint, read>;
#end
#else
#if FORMAT == 0
@group(0) @binding(${AT}) var<storage, read> ${NAME}: array<vec4<f32>>;
#end
#if FORMAT == 1 || FORMAT == 2
@group(0) @binding(${AT}) var<storage, read> ${NAME}: array<vec4<u32>>;
#end
#if FORMAT > 2
@group(0) @binding(${AT}) var<storage, read> ${NAME}: array<u32>;
#end
#end
#if FORMAT == 0
alias ${NAME}_texel = vec4<f32>;
#else
#if TEXTURE && FORMAT > 2
struct ${NAME}_texel { values: vec4<u32>, scale: f32, minimum: f32 }
#else
alias ${NAME}_texel = vec4<u32>;
#end
#end

// `stride`: texels of a row in a buffer; of block formats words.
fn ${NAME}_at(row: u32, texel: u32, stride: u32) -> ${NAME}_texel {
#if TEXTURE
#if FORMAT < 3
  return textureLoad(${NAME}, vec2(texel, row));
#end
#if FORMAT == 3
  let scales = textureLoad(${NAME}, vec2(texel / 8u * 9u + 8u, row));
  return ${NAME}_texel(textureLoad(${NAME}, vec2(texel + texel / 8u, row)), bitcast<f32>(scales[(texel / 2u) % 4u]), 0.0);
#end
#if FORMAT == 4
  let scales = textureLoad(${NAME}, vec2(texel / 4u * 5u + 4u, row));
  return ${NAME}_texel(textureLoad(${NAME}, vec2(texel + texel / 4u, row)), bitcast<f32>(scales[texel % 4u]), 0.0);
#end
#if FORMAT == 5
  let scales = textureLoad(${NAME}, vec2(texel / 2u * 3u + 2u, row));
  let pair = bitcast<vec2<f32>>(select(scales.xy, scales.zw, texel % 2u == 1u));
  return ${NAME}_texel(textureLoad(${NAME}, vec2(texel + texel / 2u, row)), pair.x, pair.y);
#end
#else
#if FORMAT < 3
  return ${NAME}[row * stride + texel];
#end
#if FORMAT == 3
  let values = row * stride;
  let scales = values + stride - (stride + 16u) / 17u;
  let scale = unpack2x16float(${NAME}[scales + texel / 8u])[(texel / 4u) & 1u];
  return vec4(${NAME}[values + 2u * texel], ${NAME}[values + 2u * texel + 1u], bitcast<u32>(scale), 0u);
#end
#if FORMAT == 4
  let values = row * stride;
  let scales = values + stride - (stride + 8u) / 9u;
  let scale = unpack2x16float(${NAME}[scales + texel / 8u])[(texel / 4u) & 1u];
  return vec4(${NAME}[values + texel], 0u, bitcast<u32>(scale), 0u);
#end
#if FORMAT == 5
  let values = row * stride;
  let scale = unpack2x16float(${NAME}[values + stride / 5u * 4u + texel / 4u]);
  return vec4(${NAME}[values + texel], 0u, bitcast<u32>(scale.x), bitcast<u32>(scale.y));
#end
#end
}

// Of a texel's elements four, from 4 * quad on, in order.
fn ${NAME}_quad(texel: ${NAME}_texel, quad: u32) -> vec4<f32> {
#if FORMAT == 0
  return texel;
#end
#if FORMAT == 1
  let words = select(texel.xy, texel.zw, quad == 1u);
  return bitcast<vec4<f32>>(vec4(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
#end
#if FORMAT == 2
  let words = select(texel.xy, texel.zw, quad == 1u);
  return vec4(unpack2x16float(words.x), unpack2x16float(words.y));
#end
#if TEXTURE == 0
#if FORMAT == 3
  return vec4<f32>(unpack4xI8(select(texel.x, texel.y, quad == 1u))) * bitcast<f32>(texel.z);
#end
#if FORMAT == 4
  return (vec4<f32>(unpack4xU8((texel.x >> (4u * quad)) & 0x0f0f0f0fu)) - 8.0) * bitcast<f32>(texel.z);
#end
#if FORMAT == 5
  return vec4<f32>(unpack4xU8((texel.x >> (4u * quad)) & 0x0f0f0f0fu)) * bitcast<f32>(texel.z) + bitcast<f32>(texel.w);
#end
#else
#if FORMAT == 3
  return vec4<f32>(unpack4xI8(texel.values[quad])) * texel.scale;
#end
#if FORMAT > 3
  // Signed, since software adapters convert unsigned numbers in several instructions.
  let word = texel.values[quad / 2u] >> (4u * (quad % 2u));
  let value = vec4<f32>(vec4<i32>(unpack4xU8(word & 0x0f0f0f0fu)));
#if FORMAT == 4
  return (value - 8.0) * texel.scale;
#else
  return value * texel.scale + texel.minimum;
#end
#end
#end
}
