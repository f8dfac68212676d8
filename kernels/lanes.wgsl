// A Lane is what a kernel loads at once: four neighbouring numbers where sizes allow (VEC 4), else one (VEC 1).
#if VEC == 4
alias Lane = vec4<f32>;

fn total(x: Lane) -> f32 {
  return (x.x + x.y) + (x.z + x.w);
}

fn highest(x: Lane) -> f32 {
  return max(max(x.x, x.y), max(x.z, x.w));
}
#else
alias Lane = f32;

fn total(x: Lane) -> f32 {
  return x;
}

fn highest(x: Lane) -> f32 {
  return x;
}
#end

// A sum and what rounding has lost of it so far (Kahan): thousands of terms at the error of one.
struct Sum {
  value: Lane,
  lost: Lane,
}

fn plus(sum: Sum, x: Lane) -> Sum {
  let y = x - sum.lost;
  let t = sum.value + y;
  return Sum(t, (t - sum.value) - y);
}

fn result(sum: Sum) -> f32 {
  return total(sum.value) - total(sum.lost);
}
