// A sum and what rounding has lost of it so far (Kahan): thousands of terms at the error of one. On top of `lanes`.
struct Sum {
  value: Lane,
  lost: Lane,
}

// Compilers that simplify (a + b) − a to b (Mesa's does) would undo the compensation: the sum passes through an
// operation on its bits that changes nothing, but only the caller knows (params.rows is always below 2³¹).
fn plus(sum: Sum, x: Lane) -> Sum {
  let y = x - sum.lost;
  let t = bitcast<Lane>(bitcast<Bits>(sum.value + y) ^ (Bits() + (params.rows >> 31u)));
  return Sum(t, (t - sum.value) - y);
}

fn result(sum: Sum) -> f32 {
  return total(sum.value) - total(sum.lost);
}
