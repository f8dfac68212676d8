// SwiGLU over rows gate | up: y = silu(gate) · up, and its gradient (BACKWARD) in the same layout.
#include common
#include lanes

struct Params {
  rows: u32,
  extent: u32,
  width: u32, // lanes of the gate
  span: u32, // lanes of an invocation, a multiple of UNROLL
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> gu: array<Lane>;
#if BACKWARD
@group(0) @binding(3) var<storage, read> dy: array<Lane>;
@group(0) @binding(4) var<storage, read_write> dgu: array<Lane>;
#else
@group(0) @binding(3) var<storage, read_write> y: array<Lane>;
#end

// Beyond −80 a gate gives nothing; the bound keeps exp from overflowing.
fn logistic(x: Lane) -> Lane {
  return 1.0 / (1.0 + exp(-max(x, Lane() - 80.0)));
}

#include spans
  let base = row * params.width;
  for (var i = begin; i < end; i += ${UNROLL}u) {
#for u in 0..UNROLL
    let at${u} = 2u * base + i + ${u}u;
    let gate${u} = gu[at${u}];
    let up${u} = gu[at${u} + params.width];
    let s${u} = logistic(gate${u});
#if BACKWARD
    let d${u} = dy[base + i + ${u}u];
    dgu[at${u}] = d${u} * up${u} * s${u} * (1.0 + gate${u} * (1.0 - s${u}));
    dgu[at${u} + params.width] = d${u} * gate${u} * s${u};
#else
    y[base + i + ${u}u] = gate${u} * s${u} * up${u};
#end
#end
  }
}
