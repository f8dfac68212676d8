    // x${PASS}: the products of own and taken rows, slice by slice of their chunks. With ONCE the own rows lie in
    // own_tile already.
#for i in 0..OWN / 8
#for j in 0..4
    var x${PASS}_${i}_${j} = 0.0;
#end
#end
    for (var base = 0u; base < ${CHUNKS}u; base += ${SLICE}u) {
      workgroupBarrier();
#if ONCE == 0
      for (var e = lane; e < ${SLICE * OWN}u; e += 64u) {
        let c = base + e % ${SLICE}u;
        let r = e / ${SLICE}u;
        var value = vec4<f32>(0.0);
        if (c < ${CHUNKS}u) {
          value = own_${PASS}(min(first + r, last), own_head, c);
        }
        pool[${SLICE * 33}u + (e % ${SLICE}u) * ${OWN + 1}u + r] = value;
      }
#end
      for (var e = lane; e < ${SLICE}u * TAKEN; e += 64u) {
        let c = base + e % ${SLICE}u;
        let r = e / ${SLICE}u;
        var value = vec4<f32>(0.0);
        if (c < ${CHUNKS}u) {
          value = taken_${PASS}(min(start + r, final_row), other_head, c);
        }
        pool[(e % ${SLICE}u) * PITCH + r] = value;
      }
      workgroupBarrier();
      for (var c = 0u; c < ${SLICE}u; c += 2u) {
#for u in 0..2
#for i in 0..OWN / 8
#if ONCE
        let l${u}_${i} = own_tile[min(base + c + ${u}u, ${CHUNKS - 1}u) * ${OWN + 1}u + ty + ${8 * i}u];
#else
        let l${u}_${i} = pool[${SLICE * 33}u + (c + ${u}u) * ${OWN + 1}u + ty + ${8 * i}u];
#end
#end
#for j in 0..4
        let r${u}_${j} = pool[(c + ${u}u) * PITCH + tx + ${8 * j}u];
#for i in 0..OWN / 8
        x${PASS}_${i}_${j} = multiply_add(l${u}_${i}, r${u}_${j}, x${PASS}_${i}_${j});
#end
#end
#end
      }
    }
