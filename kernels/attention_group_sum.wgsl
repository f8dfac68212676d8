    // sum${SUM} += the scores in workgroup memory times the taken rows, a few of these at a time.
    for (var base = 0u; base < TAKEN; base += ${STAGED}u) {
      workgroupBarrier();
      for (var e = lane; e < ${STAGED * CHUNKS}u; e += 64u) {
        pool[e] = taken_${TERM}(min(start + base + e / ${CHUNKS}u, final_row), other_head, e % ${CHUNKS}u);
      }
      workgroupBarrier();
      for (var j = 0u; j < ${STAGED}u; j += ${STEPS}u) {
#for u in 0..STEPS
#for i in 0..OWN / 8
        let w${u}_${i} = score[(ty + ${8 * i}u) * PITCH + base + j + ${u}u];
#end
#for c in 0..COLUMNS
        let y${u}_${c} = pool[(j + ${u}u) * ${CHUNKS}u + tx + ${8 * c}u];
#for i in 0..OWN / 8
        sum${SUM}_${i}_${c} = fma(vec4<f32>(w${u}_${i}), y${u}_${c}, sum${SUM}_${i}_${c});
#end
#end
#end
      }
    }
