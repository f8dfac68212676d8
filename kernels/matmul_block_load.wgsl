    // The slice from `k` on into registers: where it lies within the sum without a test, else zeros from `last` on.
    if (k + ${BK}u <= last) {
#for i in 0..LEFT_ROUNDS
      if (left_unit${i} < ${BM * BK / (16 * HL)}u) {
#for q in 0..4
#if LAYOUT == 2
        t${i}_${q} = left_bits(k + left_step${i} + ${q}u, left_texel${i});
#else
        t${i}_${q} = left_bits(left_row${i}_${q}, (k + left_step${i}) / ${4 * HL}u);
#end
#end
      }
#end
#for i in 0..RIGHT_ROUNDS
      if (right_unit${i} < ${BN * BK / (16 * HR)}u) {
#for q in 0..4
#if LAYOUT == 0
        t${RIGHT_AT + i}_${q} = right_bits(right_row${i}_${q}, (k + right_step${i}) / ${4 * HR}u);
#else
        t${RIGHT_AT + i}_${q} = right_bits(k + right_step${i} + ${q}u, right_texel${i});
#end
#end
      }
#end
    } else if (k < last) {
#for i in 0..LEFT_ROUNDS
      if (left_unit${i} < ${BM * BK / (16 * HL)}u) {
#for q in 0..4
#if LAYOUT == 2
        t${i}_${q} = left_within(k + left_step${i} + ${q}u, left_texel${i} * ${4 * HL}u, vec2(last, rows));
#else
        t${i}_${q} = left_within(left_row${i}_${q}, k + left_step${i}, vec2(rows, last));
#end
#end
      }
#end
#for i in 0..RIGHT_ROUNDS
      if (right_unit${i} < ${BN * BK / (16 * HR)}u) {
#for q in 0..4
#if LAYOUT == 0
        t${RIGHT_AT + i}_${q} = right_within(right_row${i}_${q}, k + right_step${i}, vec2(params.columns, last));
#else
        t${RIGHT_AT + i}_${q} = right_within(k + right_step${i} + ${q}u, right_texel${i} * ${4 * HR}u, vec2(last, params.columns));
#end
#end
      }
#end
    }
