// A draw from the Gumbel distribution, −ln(−ln(1 − v)) with v = (random + ½) / 2³²: high noise, which decides, comes from
// small v, where floats are dense, so that two tokens hardly ever get the same. The largest numbers round to v = 1, which
// would be infinite: they are taken as 1 − 2⁻²⁴. As `log` is only good to 2⁻²¹ absolutely near 1, −ln(1 − v) is
// 2 artanh(v / (2 − v)) there, whose series ends below float32's precision.
fn gumbel(random: u32) -> f32 {
  let v = min((f32(random) + 0.5) * 2.3283064365386963e-10, 0.99999994);
  let s = v / (2.0 - v);
  let z = s * s;
  let series = 1.0 + z * (1.0 / 3.0 + z * (0.2 + z * (1.0 / 7.0 + z * (1.0 / 9.0 + z * (1.0 / 11.0 + z * (1.0 / 13.0))))));
  return -log(select(-log(1.0 - v), 2.0 * s * series, v < 0.5));
}
