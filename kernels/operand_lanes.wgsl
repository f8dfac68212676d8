// The operand NAME where VEC is 4; where rows are no whole texels (VEC 1), single f32 numbers from a buffer under the same
// functions. NAME_lane: the lane number `at` of a buffer.
#if VEC == 4
#include operand NAME=${NAME} AT=AT FORMAT=FORMAT TEXTURE=TEXTURE
#if TEXTURE == 0
fn ${NAME}_lane(at: u32) -> vec4<f32> {
#if FORMAT == 0
  return ${NAME}[at];
#else
  return ${NAME}_quad(${NAME}[at / 2u], at & 1u);
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
fn ${NAME}_lane(at: u32) -> f32 {
  return ${NAME}[at];
}
#end
