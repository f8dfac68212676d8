// A Lane is what a kernel loads at once: four neighbouring numbers where sizes allow (VEC 4), else one (VEC 1).
#if VEC == 4
alias Lane = vec4<f32>;
alias Bits = vec4<u32>;

fn total(x: Lane) -> f32 {
  return (x.x + x.y) + (x.z + x.w);
}

fn highest(x: Lane) -> f32 {
  return max(max(x.x, x.y), max(x.z, x.w));
}
#else
alias Lane = f32;
alias Bits = u32;

fn total(x: Lane) -> f32 {
  return x;
}

fn highest(x: Lane) -> f32 {
  return x;
}
#end
