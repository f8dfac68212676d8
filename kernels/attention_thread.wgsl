// How the attention kernels of one thread a tile begin: thread number `thread` holds HELD rows from `first` on of head
// `own_head`, of which there are own_heads(). The body of main goes on behind it.
@compute @workgroup_size(${WG})
fn main(
  @builtin(workgroup_id) group_id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let workgroup = params.base + group_id.x + group_id.y * groups.x;
  if (workgroup >= params.workgroups) {
    return;
  }
  let thread = spread(workgroup, params.stride, params.workgroups) * ${WG}u + lane;
  let own_head = thread % own_heads();
  let first = (thread / own_heads()) * ${HELD}u;
  let rows = rows_in_use(params.rows, params.extent);
  if (first >= rows) {
    return;
  }
  let last = rows - 1u;
  let to_log2 = params.scale * LOG2E;
