/**
 * The WGSL of what a run minimises, put together from its losses' margins and links.
 */
import { links } from "./links.ts";
import { margins } from "./margins.ts";
import { mathWgsl } from "./math.ts";
import { losses } from "./table.ts";
import type { LossDefinition, Term } from "./definition.ts";
import type { Hyper } from "./types.ts";

/** One of the losses that a run minimises. */
export interface WeightedLoss {
  readonly loss: LossDefinition;
  readonly hyper: Hyper;
  readonly weight: number;
}

/** WGSL on a host: its text, the fields that `struct Params` has for it, and their values. */
export interface LossShader {
  /** `fn example_loss(x: Pair) -> LossValue` with what it stands on; it reads `params`. */
  readonly code: string;
  /** Fields of `struct Params`, each ending in a comma. */
  readonly fields: string;
  readonly values: Readonly<Record<string, number>>;
}

/** Every hyper-parameter of any loss: the fields of `struct Hyper`. */
const KEYS = [...new Set(Object.values(losses).flatMap((loss) => Object.keys(loss.options)))].sort();

const STRUCTS = `
// An example as lib/losses/types.ts describes it; scores are sums, or means where per_token made them so.
struct Pair {
  chosen: f32,
  rejected: f32,
  ref_chosen: f32,
  ref_rejected: f32,
  chosen_tokens: f32,
  rejected_tokens: f32,
  label: f32,
  baseline: f32,
}

struct Hyper {
${KEYS.map((key) => `  ${key}: f32,`).join("\n")}
}

struct Margin {
  value: f32,
  d_chosen: f32,
  d_rejected: f32,
}

struct LossValue {
  loss: f32,
  d_chosen: f32,
  d_rejected: f32,
}

fn per_token(x: Pair) -> Pair {
  var y = x;
  let w = max(x.chosen_tokens, 1.0);
  let l = max(x.rejected_tokens, 1.0);
  y.chosen = x.chosen / w;
  y.rejected = x.rejected / l;
  y.ref_chosen = x.ref_chosen / w;
  y.ref_rejected = x.ref_rejected / l;
  return y;
}
`;

/** The WGSL of Σ weight · loss over the losses' terms. */
export function lossShader(parts: readonly WeightedLoss[]): LossShader {
  const values: Record<string, number> = {};
  const terms = parts.flatMap(({ loss, hyper, weight }, i) => {
    for (const [key, value] of Object.entries(hyper)) values[`h${i}_${key}`] = value;
    if (weight !== 1) values[`h${i}_weight`] = weight;
    return loss.terms.map((term) => termText(term, weight === 1 ? [] : [`params.h${i}_weight`], i));
  });
  const hypers = parts.map(({ hyper }, i) => {
    const fields = KEYS.map((key) => key in hyper ? `params.h${i}_${key}` : "0.0");
    return `fn hyper_${i}() -> Hyper {\n  return Hyper(${fields.join(", ")});\n}`;
  });
  const all = parts.flatMap(({ loss }) => loss.terms);
  const marginTexts = [...new Set(all.map(({ margin }) => margin))].map((name) =>
    `fn margin_${name}(x: Pair, h: Hyper) -> Margin {\n  ${margins[name].wgsl}\n}`
  );
  const linkTexts = [...new Set(all.map(({ link }) => link))].map((name) =>
    `fn link_${name}(m: f32, h: Hyper) -> Slope {\n  ${links[name].wgsl}\n}`
  );
  const main = `fn example_loss(x: Pair) -> LossValue {
  let means = per_token(x);
  let w = max(x.chosen_tokens, 1.0);
  let l = max(x.rejected_tokens, 1.0);
  var sum = LossValue(0.0, 0.0, 0.0);
${terms.join("\n")}
  return sum;
}`;
  return {
    code: [mathWgsl, STRUCTS, ...hypers, ...marginTexts, ...linkTexts, main].join("\n"),
    fields: Object.keys(values).map((name) => `${name}: f32,`).join("\n  "),
    values,
  };
}

/** A term's addition to `sum`; factors of 1 are not written. */
function termText({ margin, over, link, sign = 1, weight = 1 }: Term, factors: string[], i: number): string {
  const own = typeof weight === "number" ? (weight === 1 ? [] : [`f32(${weight})`]) : [weight.wgsl];
  const scale = [...factors, ...own].map((factor) => ` * ${factor}`).join("");
  const minus = sign < 0 ? "-" : "";
  const per = (tokens: string) => over === "means" ? ` / ${tokens}` : "";
  return `  {
    let h = hyper_${i}();
    let m = margin_${margin}(${over === "means" ? "means" : "x"}, h);
    let f = link_${link}(${minus}m.value, h);
    let slope = ${minus}f.slope${scale};
    sum.loss += f.value${scale};
    sum.d_chosen += slope * m.d_chosen${per("w")};
    sum.d_rejected += slope * m.d_rejected${per("l")};
  }`;
}
