// What happens to a finished product before it is stored. Needs the flags BIAS and RESIDUAL, ACCUMULATE (0 no, 1 always,
// 2 where the step has earlier micro-batches), VEC (1 or 4 columns at a time) and `params.columns`; binds from 4 on.
#if VEC == 4
@group(0) @binding(4) var<storage, read_write> result: array<vec4<f32>>;
#else
@group(0) @binding(4) var<storage, read_write> result: array<f32>;
#end
#if BIAS
#if VEC == 4
@group(0) @binding(5) var<storage, read> bias: array<vec4<f32>>;
#else
@group(0) @binding(5) var<storage, read> bias: array<f32>;
#end
#end
#if RESIDUAL
#if VEC == 4
@group(0) @binding(6) var<storage, read> residual: array<vec4<f32>>;
#else
@group(0) @binding(6) var<storage, read> residual: array<f32>;
#end
#end

// `column` counts in units of VEC, `base` is where that unit lies in the result.
#if VEC == 4
fn finish(product: vec4<f32>, base: u32, column: u32) {
#else
fn finish(product: f32, base: u32, column: u32) {
#end
  var value = product;
#if BIAS
  value += bias[column];
#end
#if RESIDUAL
  value += residual[base];
#end
#if ACCUMULATE == 1
  value += result[base];
#end
#if ACCUMULATE == 2
  if (has_earlier()) {
    value += result[base];
  }
#end
  result[base] = value;
}
