// One softmax from those over PIECES of the keys: an invocation makes one lane of one head's output.
#include lanes

struct Params {
  total: u32, // lanes of the output
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> partial: array<Lane>;
@group(0) @binding(3) var<storage, read> softmax: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> o: array<Lane>;

#include item_start
  if (index >= params.total) {
    return;
  }
  let first = index / ${LANES}u * ${PIECES}u;
  let i = index % ${LANES}u;
  var highest = softmax[first].x;
#for p in 1..PIECES
  highest = max(highest, softmax[first + ${p}u].x);
#end
  var sum = 0.0;
  var result = Lane();
#for p in 0..PIECES
  let weight${p} = exp(softmax[first + ${p}u].x - highest);
  sum += softmax[first + ${p}u].y * weight${p};
  result += partial[(first + ${p}u) * ${LANES}u + i] * weight${p};
#end
  o[index] = result / sum;
}
