// How the attention kernels for GPUs begin: the workgroup holds the rows from `first` on of head `own_head`, of which
// there are own_heads(). The body of main goes on behind it.
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group_id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = params.base + group_id.x + group_id.y * groups.x;
  let own_head = index % own_heads();
  let first = (index / own_heads()) * ${OWN}u;
  let rows = rows_in_use(params.rows, params.extent);
  if (index >= params.workgroups || first >= rows) {
    return;
  }
  let last = rows - 1u;
  let tx = lane % 8u;
  let ty = lane / 8u;
  workgroupBarrier(); // see group.wgsl
