// How kernels that reduce rows begin: `row` is worked on by one invocation (GROUP 0) or by a workgroup of GROUP, whose
// lanes begin at `first`. Of params: rows, extent. The body of main goes on behind it.
@compute @workgroup_size(${SIZE})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = group.x + group.y * groups.x;
#if GROUP
  let row = index;
  let first = lane;
#else
  let row = index * ${SIZE}u + lane;
  let first = 0u;
#end
  if (row >= rows_in_use(params.rows, params.extent)) {
    return;
  }
