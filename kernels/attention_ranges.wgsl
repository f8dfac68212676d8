// Which rows an attention kernel walks through, from the ranges of lib/data/visibility.ts.

// What a query sees: in x and y the shared prompt's keys, in z and w those of its own run; with a window the last ones.
fn seen_by_query(range: vec4<u32>) -> vec4<u32> {
  let own = min(range.w - range.z, params.window);
  let before = min(range.y - range.x, params.window - own);
  return vec4<u32>(range.y - before, range.y, range.w - own, range.w);
}

// The smallest range that holds both; x == y is empty.
fn hull(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if (a.x >= a.y) {
    return b;
  }
  if (b.x >= b.y) {
    return a;
  }
  return vec2<u32>(min(a.x, b.x), max(a.y, b.y));
}

fn length_of(range: vec2<u32>) -> u32 {
  return max(range.x, range.y) - range.x;
}

fn blocks_of(range: vec2<u32>, size: u32) -> u32 {
  return (length_of(range) + size - 1u) / size;
}
