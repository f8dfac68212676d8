  // The fields that begin every attention kernel's Params.
  base: u32,
  rows: u32,
  extent: u32,
  heads: u32,
  group: u32,     // query heads of one key head
  kv_heads: u32,
  scale: f32,
  workgroups: u32,
  window: u32,    // keys that a query sees at most
