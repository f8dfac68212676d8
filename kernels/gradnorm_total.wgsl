// The gradient's norm and its clipping factor from all partial sums of squares, in one workgroup:
// norm = (‖g‖, factor, 0, 0); factor = min(1, max_grad_norm / (‖g‖ + 1e-6)), 1 without a limit, NaN where ‖g‖ is not
// finite (which stops AdamW, and the trainer).
#include lanes
#include sum
#include group
#include bits

struct Params {
  rows: u32, // partial sums
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<uniform> scalars: array<vec4<f32>, 2>; // lib/ops/optimizer.ts, adamwScalars
@group(0) @binding(3) var<storage, read> partial: array<f32>;
@group(0) @binding(4) var<storage, read_write> norm: array<u32>; // bits of floats

@compute @workgroup_size(${GROUP})
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = Sum();
  for (var i = lane; i < params.rows; i += ${GROUP}u) {
    sum = plus(sum, partial[i]);
  }
  let value = sqrt(group_sum(lane, result(sum)));
  let bits = bitcast<u32>(group_values[0]);
  if (lane != 0u) {
    return;
  }
  let most = scalars[0].w;
  var factor = 1.0;
  if (most > 0.0) {
    factor = min(1.0, most / (value + 1e-6));
  }
  norm[0] = bitcast<u32>(value);
  norm[1] = select(bitcast<u32>(factor), 0x7fc00000u, not_finite(bits));
  norm[2] = 0u;
  norm[3] = 0u;
}
