// Fused multiply-adds in registers: twelve independent vec4 accumulators, unrolled eight times, nothing loaded.
@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let x = vec4(f32(id.x) * 1e-9 + 0.5);
  let y = vec4(f32(id.x) * 1e-9 + 0.25);
  ACCUMULATORS
  for (var i = 0u; i < ROUNDSu; i++) {
    BODY
  }
  result[id.x] = TOTAL;
}
