// Each target's coefficient, d(step loss)/dlogp: its example's derivative on its side, times the step's scale, and for
// completions whose likelihood counts by itself that part; 0 for dummies.
#include common

struct ExampleInputs {
  ${INPUT_FIELDS}
}

struct ExampleResult {
  ${RESULT_FIELDS}
}

struct Params {
  rows: u32, // targets
  extent: u32,
#if LD
  ld_alpha: f32,
#end
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<uniform> scalars: vec4<f32>; // scale of the examples' losses, scale of the tokens' NLL
@group(0) @binding(3) var<storage, read> segment_of: array<u32>;
@group(0) @binding(4) var<storage, read> results: array<ExampleResult>;
@group(0) @binding(5) var<storage, read_write> coef: array<f32>;
#if LD
@group(0) @binding(6) var<storage, read> segments: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read> inputs: array<ExampleInputs>;
#end

const NO_SEGMENT = 0xffffffffu;

#include item_start
  if (index >= rows_in_use(params.rows, params.extent)) {
    return;
  }
  let segment = segment_of[index];
  if (segment == NO_SEGMENT) {
    coef[index] = 0.0;
    return;
  }
  let example = segment / ${SIDES}u;
  let chosen = segment % ${SIDES}u == 0u;
  let r = results[example];
  var d = scalars.x * select(r.d_rejected, r.d_chosen, chosen);
#if LD
  let known = inputs[example];
  if (f32(index - segments[segment].x) >= min(known.chosen_tokens, known.rejected_tokens)) {
    d *= params.ld_alpha;
  }
#end
  if (chosen) {
    d += scalars.y * r.d_nll;
  }
  coef[index] = d;
}
