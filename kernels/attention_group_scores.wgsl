    // x${PASS}: the products of own and taken rows, slice by slice of their chunks.
#for i in 0..4
#for j in 0..KEYS
    var x${PASS}_${i}_${j} = 0.0;
#end
#end
    for (var base = 0u; base < ${CHUNKS}u; base += ${SLICE}u) {
      // All on their way before the first is waited for.
#for s in 0..4 * SLICE / TX
      let own${s} = own_${PASS}(min(first + (lane + ${s * TX * TY}u) / ${SLICE}u, last), own_head, chunk_at(base + lane % ${SLICE}u));
#end
#for s in 0..KEYS * SLICE / TY
      let taken${s} = taken_${PASS}(min(start + (lane + ${s * TX * TY}u) / ${SLICE}u, final_row), other_head, chunk_at(base + lane % ${SLICE}u));
#end
#if CHUNKS % SLICE > 0
      let within = base + lane % ${SLICE}u < ${CHUNKS}u;
#else
      let within = true;
#end
      workgroupBarrier();
#for s in 0..4 * SLICE / TX
      {
        let r = (lane + ${s * TX * TY}u) / ${SLICE}u;
        own_slice[r % 4u * ${SLICE}u + lane % ${SLICE}u][r / 4u] = select(vec4<f32>(0.0), own${s}, within);
      }
#end
#for s in 0..KEYS * SLICE / TY
      {
        let r = (lane + ${s * TX * TY}u) / ${SLICE}u;
        taken_slice[r / ${TX}u * ${SLICE}u + lane % ${SLICE}u][r % ${TX}u] = select(vec4<f32>(0.0), taken${s}, within);
      }
#end
      workgroupBarrier();
#for u in 0..SLICE
#for i in 0..4
      let l${u}_${i} = own_slice[${i * SLICE + u}][ty];
#end
#for j in 0..KEYS
      let r${u}_${j} = taken_slice[${j * SLICE + u}][tx];
#for i in 0..4
      x${PASS}_${i}_${j} = multiply_add(l${u}_${i}, r${u}_${j}, x${PASS}_${i}_${j});
#end
#end
#end
    }
