// A matrix as kernels read it, bound at AT under NAME: by texels, which are 16 bytes of a row: four f32 (FORMAT 0), or
// eight bf16 (1) or f16 (2), an even element in the low half of its word; from a storage texture (TEXTURE) or a buffer.
#if TEXTURE
#if FORMAT == 0
@group(0) @binding(${AT}) var ${NAME}: texture_storage_2d<rgba32float, read>;
#else
@group(0) @binding(${AT}) var ${NAME}: texture_storage_2d<rgba32uint, read>;
#end
#else
#if FORMAT == 0
@group(0) @binding(${AT}) var<storage, read> ${NAME}: array<vec4<f32>>;
#else
@group(0) @binding(${AT}) var<storage, read> ${NAME}: array<vec4<u32>>;
#end
#end
#if FORMAT == 0
alias ${NAME}_texel = vec4<f32>;
#else
alias ${NAME}_texel = vec4<u32>;
#end

// `stride`: texels of a row in a buffer.
fn ${NAME}_at(row: u32, texel: u32, stride: u32) -> ${NAME}_texel {
#if TEXTURE
  return textureLoad(${NAME}, vec2(texel, row));
#else
  return ${NAME}[row * stride + texel];
#end
}

// Of a texel's elements four, from 4 * quad on, in order.
fn ${NAME}_quad(texel: ${NAME}_texel, quad: u32) -> vec4<f32> {
#if FORMAT == 0
  return texel;
#else
  let words = select(texel.xy, texel.zw, quad == 1u);
#if FORMAT == 1
  return bitcast<vec4<f32>>(vec4(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
#else
  return vec4(unpack2x16float(words.x), unpack2x16float(words.y));
#end
#end
}
