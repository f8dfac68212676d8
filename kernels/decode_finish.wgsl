// How decoding's products end: y (binding 4), bias (5) and residual (6), WIDE 4 columns at a time or single ones, which
// `params.stride` and `params.offset` then count in.
#if WIDE == 4
alias Value = vec4<f32>;
#else
alias Value = f32;
#end
@group(0) @binding(4) var<storage, read_write> y: array<Value>;
#if BIAS
@group(0) @binding(5) var<storage, read> bias: array<Value>;
#end
#if RESIDUAL
@group(0) @binding(6) var<storage, read> residual: array<Value>;
#end

// Beyond −80 a gate gives nothing; the bound keeps exp from overflowing.
fn silu(gate: Value) -> Value {
  return gate / (1.0 + exp(-max(gate, Value(-80.0))));
}

fn finish(value: Value, row: u32, column: u32) {
  let at = row * params.stride + params.offset + column;
  var result = value;
#if BIAS
  result += bias[params.offset + column];
#end
#if RESIDUAL
  result += residual[at];
#end
  y[at] = result;
}
