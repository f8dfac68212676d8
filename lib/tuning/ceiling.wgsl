// Fused multiply-adds in registers: twelve independent accumulators, unrolled eight times, nothing loaded.
@group(0) @binding(0) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let x = f32(id.x) * 1e-9 + 0.5;
  let y = f32(id.x) * 1e-9 + 0.25;
  ACCUMULATORS
  for (var i = 0u; i < ROUNDSu; i++) {
    BODY
  }
  result[id.x] = TOTAL;
}
