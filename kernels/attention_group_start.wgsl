// How the attention kernels for GPUs begin: the workgroup holds the rows from `first` on of what `own` says, of which
// there are owners() (heads, mostly). The body of main goes on behind it.
@compute @workgroup_size(${TX * TY})
fn main(
  @builtin(workgroup_id) group_id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = params.base + group_id.x + group_id.y * groups.x;
  let own = index % owners();
  let rows = rows_in_use(params.rows, params.extent);
  let own_blocks = (rows + OWN - 1u) / OWN;
  let own_block = index / owners();
  if (index >= params.workgroups || own_block >= own_blocks) {
    return;
  }
  let first = nth_block(own_block, own_blocks) * OWN;
  let last = rows - 1u;
  let tx = lane % ${TX}u;
  let ty = lane / ${TX}u;
  let swizzled = ty ^ (tx % ${SWIZZLE}u);
#for i in 0..4
  let row${i} = first + 4u * ty + ${i}u;
#end
#for i in 0..4
#for c in 0..COLUMNS
  var sum_${i}_${c} = vec4<f32>(0.0);
#end
#end
  workgroupBarrier(); // see group.wgsl
