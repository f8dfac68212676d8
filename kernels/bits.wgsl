// What a float is, by its bits. Compilers that assume finite arithmetic (most drivers' do) may fold tests of values that
// were just computed; the bits given here must come from memory.
fn not_finite(bits: u32) -> bool {
  return (bits & 0x7f800000u) == 0x7f800000u;
}

fn not_a_number(bits: u32) -> bool {
  return (bits & 0x7fffffffu) > 0x7f800000u;
}
