#include bits
// f32 to bf16 (the high half of an f32), round to nearest even; infinities stay, a NaN stays a (quiet) NaN.
fn to_bf16(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
  return select(rounded, (bits >> 16u) | 0x40u, not_a_number(bits));
}
