// The queries that see a key come in the order in which they follow it: those of its own run, then those of a branch;
// with a window the first ones. None where the key is not `used`.
fn seen_by_queries(key: u32, used: bool) -> array<vec2<u32>, 3> {
  let first = key_ranges[key * 2u];
  let last = key_ranges[key * 2u + 1u];
  let window = select(0u, params.window, used);
  let left = window - min(window, first.y - first.x);
  return array<vec2<u32>, 3>(first_of(first.xy, window), first_of(first.zw, left), first_of(last.xy, left));
}

fn first_of(range: vec2<u32>, most: u32) -> vec2<u32> {
  return vec2<u32>(range.x, range.x + min(range.y - range.x, most));
}
