// One store, so that a pass that only takes timestamps does something: some drivers stamp empty passes with zeros.

@group(0) @binding(0) var<storage, read_write> ticks: array<u32>;

@compute @workgroup_size(1)
fn main() {
  ticks[0] += 1u;
}
