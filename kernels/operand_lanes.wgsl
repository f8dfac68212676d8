// The operand NAME where VEC is 4; where rows are no whole texels (VEC 1), single f32 numbers from a buffer under the same
// functions. NAME_lane: a row's lane from a buffer.
#if VEC == 4
#include operand NAME=${NAME} AT=AT FORMAT=FORMAT TEXTURE=TEXTURE
#if TEXTURE == 0
fn ${NAME}_lane(row: u32, lane: u32, stride: u32) -> vec4<f32> {
#if FORMAT == 0
  return ${NAME}_at(row, lane, stride);
#else
  return ${NAME}_quad(${NAME}_at(row, lane / 2u, stride), lane & 1u);
#end
}
#end
#else
@group(0) @binding(${AT}) var<storage, read> ${NAME}: array<f32>;
alias ${NAME}_texel = f32;
fn ${NAME}_at(row: u32, texel: u32, stride: u32) -> f32 {
  return ${NAME}[row * stride + texel];
}
fn ${NAME}_quad(texel: f32, quad: u32) -> f32 {
  return texel;
}
fn ${NAME}_lane(row: u32, lane: u32, stride: u32) -> f32 {
  return ${NAME}[row * stride + lane];
}
#end
