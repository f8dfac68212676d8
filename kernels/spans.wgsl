// How kernels over spans of rows begin: an invocation takes the lanes [begin, end) of `row`. Of params: rows, extent,
// width (lanes of a row), span (lanes of an invocation). The body of main goes on behind it.
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (group.x + group.y * groups.x) * 64u + lane;
  let spans = (params.width + params.span - 1u) / params.span;
  let row = index / spans;
  if (row >= rows_in_use(params.rows, params.extent)) {
    return;
  }
  let begin = (index - row * spans) * params.span;
  let end = min(begin + params.span, params.width);
