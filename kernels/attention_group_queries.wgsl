// How the kernels of OWN query rows begin: what each row sees, and what the block walks through. The latter is found by
// every invocation from read-only memory: loops with barriers in them need a bound that is the same for the whole
// workgroup, and one from workgroupUniformLoad has hung on Metal.
@group(0) @binding(2) var<storage, read> query_ranges: array<vec4<u32>>;

var<workgroup> ranges: array<vec4<u32>, ${OWN}>;

fn own_heads() -> u32 {
  return params.heads;
}

// The rows taken are keys, then values.
fn taken_0(key: u32, kv_head: u32, chunk: u32) -> vec4<f32> {
  return qkv[key * qkv_width() + (params.heads + kv_head) * ${CHUNKS}u + chunk];
}

fn taken_1(key: u32, kv_head: u32, chunk: u32) -> vec4<f32> {
  return qkv[key * qkv_width() + (params.heads + params.kv_heads + kv_head) * ${CHUNKS}u + chunk];
}

#include attention_group_start

  let head = own_head;
  if (lane < ${OWN}u) {
    let row = first + lane;
    ranges[lane] = select(vec4<u32>(0u), seen_by_query(query_ranges[min(row, last)]), row < rows);
  }
  var a = vec2<u32>(0u, 0u);
  var b = vec2<u32>(0u, 0u);
  for (var r = 0u; r < ${OWN}u; r++) {
    let range = seen_by_query(query_ranges[min(first + r, last)]);
    a = hull(a, range.xy);
    b = hull(b, range.zw);
  }
  let a_blocks = blocks_of(a, TAKEN);
  let blocks = a_blocks + blocks_of(b, TAKEN);
  let other_head = head / params.group;
