// AdamW on one shard, elementwise, in PyTorch's order: decay, first moment by lerp, second moment, then the step with
// epsilon outside the root. The gradient is first multiplied by the clipping factor; where that is NaN (a gradient
// that is not finite) nothing is touched.
#include lanes
#include bits

struct Params {
  lanes: u32, // of the shard
  one_minus_beta1: f32, // rounded once, from float64
  beta2: f32,
  one_minus_beta2: f32,
  epsilon: f32,
  weight_decay: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<uniform> scalars: array<vec4<f32>, 2>; // lib/ops/optimizer.ts, adamwScalars
@group(0) @binding(3) var<storage, read> norm: array<f32>;
@group(0) @binding(4) var<storage, read> grad: array<Lane>;
@group(0) @binding(5) var<storage, read_write> param: array<Lane>;
@group(0) @binding(6) var<storage, read_write> m: array<Lane>;
@group(0) @binding(7) var<storage, read_write> v: array<Lane>;

#include item_start
  let factor = norm[1];
  if (index >= params.lanes || not_finite(bitcast<u32>(norm[1]))) {
    return;
  }
  let rate = scalars[0].x;
  let correction = scalars[0].z;
  let decay = rate * params.weight_decay;
  let step = rate / scalars[0].y;
  let g = grad[index] * factor;
  let first = m[index] + params.one_minus_beta1 * (g - m[index]);
  let second = params.beta2 * v[index] + params.one_minus_beta2 * (g * g);
  let p = param[index] - decay * param[index];
  m[index] = first;
  v[index] = second;
  param[index] = p - step * (first / (sqrt(second) / correction + params.epsilon));
}
