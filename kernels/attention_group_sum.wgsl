    // sum += the weights in workgroup memory times the taken rows, a few of these at a time.
    for (var base = 0u; base < min(TAKEN, final_row + 1u - start); base += ${STAGED}u) {
#for s in 0..(STAGED * CHUNKS + TX * TY - 1) / (TX * TY)
      let y${s} = taken_${TERM}(
        min(start + base + (lane + ${s * TX * TY}u) / ${CHUNKS}u, final_row), other_head, (lane + ${s * TX * TY}u) % ${CHUNKS}u);
#end
      workgroupBarrier();
#for s in 0..(STAGED * CHUNKS + TX * TY - 1) / (TX * TY)
#if STAGED * CHUNKS < (s + 1) * TX * TY
      if (lane < ${STAGED * CHUNKS - s * TX * TY}u) {
#else
      {
#end
        let r = (lane + ${s * TX * TY}u) / ${CHUNKS}u;
        let c = (lane + ${s * TX * TY}u) % ${CHUNKS}u;
        taken_slice[r * ${COLUMNS}u + c / ${TX}u][c % ${TX}u] = y${s};
      }
#end
      workgroupBarrier();
#for u in 0..STAGED
      let w${u} = weights[base + ${u}u][ty ^ ${u % SWIZZLE}u];
#for c in 0..COLUMNS
      let v${u}_${c} = taken_slice[${u * COLUMNS + c}][tx];
#for i in 0..4
      sum_${i}_${c} = fma(vec4<f32>(w${u}[${i}]), v${u}_${c}, sum_${i}_${c});
#end
#end
#end
    }
