// Sum and maximum over the invocations of a workgroup of GROUP (a power of two); all of them must call.
//
// Every kernel has a barrier before its first store to workgroup memory: some drivers set that memory to zero without a
// barrier of their own after it, and the zeros may then come later than the store.
var<workgroup> group_values: array<f32, ${GROUP}>;

fn group_sum(lane: u32, value: f32) -> f32 {
  workgroupBarrier();
  group_values[lane] = value;
  workgroupBarrier();
  for (var step = ${GROUP / 2}u; step > 0u; step >>= 1u) {
    if (lane < step) {
      group_values[lane] += group_values[lane + step];
    }
    workgroupBarrier();
  }
  return group_values[0];
}

fn group_max(lane: u32, value: f32) -> f32 {
  workgroupBarrier();
  group_values[lane] = value;
  workgroupBarrier();
  for (var step = ${GROUP / 2}u; step > 0u; step >>= 1u) {
    if (lane < step) {
      group_values[lane] = max(group_values[lane], group_values[lane + step]);
    }
    workgroupBarrier();
  }
  return group_values[0];
}
