// A sum and what rounding has lost of it so far: thousands of terms at the error of one. On top of `lanes`.
struct Sum {
  value: Lane,
  lost: Lane,
}

// Kahan's compensation. Written plainly, (t − value) − y, compilers that simplify (a + b) − a to b undo it (Mesa's
// does, and sees through uniforms); subtracting the larger of the two first, they cannot, and it is exact besides.
fn plus(sum: Sum, x: Lane) -> Sum {
  let y = x - sum.lost;
  let t = sum.value + y;
  let larger = abs(sum.value) > abs(y);
  return Sum(t, (t - select(y, sum.value, larger)) - select(sum.value, y, larger));
}

fn result(sum: Sum) -> f32 {
  return total(sum.value) - total(sum.lost);
}
