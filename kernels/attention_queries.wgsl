// How the kernels of HELD query rows begin: the prologue, what each row sees (nothing, where the row is beyond those in
// use), what the tile walks through, and where its head's numbers lie.
@group(0) @binding(2) var<storage, read> query_ranges: array<vec4<u32>>;

fn own_heads() -> u32 {
  return params.heads;
}

#include attention_thread

  var a = vec2<u32>(0u, 0u);
  var b = vec2<u32>(0u, 0u);
#for r in 0..HELD
  let row${r} = first + ${r}u;
  let range${r} = select(vec4<u32>(0u), seen_by_query(query_ranges[min(row${r}, last)]), row${r} < rows);
  a = hull(a, range${r}.xy);
  b = hull(b, range${r}.zw);
#end
  let a_blocks = blocks_of(a, ${TAKEN}u);
  let blocks = a_blocks + blocks_of(b, ${TAKEN}u);

  let head = own_head;
  let q_column = head * ${CHUNKS}u;
  let k_column = (params.heads + head / params.group) * ${CHUNKS}u;
  let v_column = k_column + params.kv_heads * ${CHUNKS}u;
