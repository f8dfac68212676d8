// How the kernels of OWN query rows begin: what each row sees, and what the block walks through. The latter is found by
// every invocation from read-only memory: loops with barriers in them need a bound that is the same for the whole
// workgroup, and one from workgroupUniformLoad has hung on Metal.
@group(0) @binding(2) var<storage, read> query_ranges: array<vec4<u32>>;

fn owners() -> u32 {
  return params.heads;
}

// The last queries see the most keys: they go first, so that no long block is left over at the end.
fn nth_block(n: u32, blocks: u32) -> u32 {
  return blocks - 1u - n;
}

// The rows taken are keys, then values.
fn taken_0(key: u32, kv_head: u32, chunk: u32) -> vec4<f32> {
  return qkv[key * qkv_width() + (params.heads + kv_head) * ${CHUNKS}u + chunk];
}

fn taken_1(key: u32, kv_head: u32, chunk: u32) -> vec4<f32> {
  return qkv[key * qkv_width() + (params.heads + params.kv_heads + kv_head) * ${CHUNKS}u + chunk];
}

#include attention_group_start

  let own_head = own;
  let head = own_head;
  let other_head = head / params.group;
#for i in 0..4
  let range${i} = select(vec4<u32>(0u), seen_by_query(query_ranges[min(row${i}, last)]), row${i} < rows);
#end
  var a = vec2<u32>(0u, 0u);
  var b = vec2<u32>(0u, 0u);
  for (var r = first; r < first + OWN; r += 8u) {
#for u in 0..8
    let range_of_${u} = seen_by_query(query_ranges[min(r + ${u}u, last)]);
#end
#for u in 0..8
    a = hull(a, range_of_${u}.xy);
    b = hull(b, range_of_${u}.zw);
#end
  }
  let a_blocks = blocks_of(a, TAKEN);
  let blocks = a_blocks + blocks_of(b, TAKEN);
