/**
 * The whole network in float64, forward and backward, over a packed batch: the definition of what the GPU computes.
 */
import { inverseFrequencies, type ModelConfig } from "../../lib/model/config.ts";
import {
  add,
  attention,
  attentionBackward,
  embedding,
  embeddingBackward,
  gatherRows,
  gatherRowsBackward,
  linear,
  linearBackward,
  logprobs,
  logprobsBackward,
  rmsnorm,
  rmsnormBackward,
  rope,
  ropeBackward,
  swiglu,
  swigluBackward,
} from "./ops.ts";
import type { ReferenceBatch } from "./batch.ts";

/** Parameters, or their gradients, by Hugging Face's names, flat and row-major. */
export type Weights = Map<string, Float64Array>;

/** What backward needs of one forward pass; `logp` is the result, `[N]`. */
export type Trace = ReturnType<typeof forward>;

/** Log-probabilities of a batch's scored tokens. */
export function forward(config: ModelConfig, weights: Weights, batch: ReferenceBatch) {
  const { x, layers, final } = body(config, weights, batch);
  const head = headSizes(config, batch);
  const scored = gatherRows(final.y, batch.rows, { width: head.width });
  const { logp, lse } = logprobs(scored, headWeight(config, weights), { ...head, targets: batch.targets });
  return { config, weights, batch, x, layers, final, scored, lse, logp };
}

/** Logits of every token, `[T, V]`. */
export function logits(config: ModelConfig, weights: Weights, batch: ReferenceBatch): Float64Array {
  const { final } = body(config, weights, batch);
  const sizes = { rows: batch.tokens.length, inputs: config.hidden_size, outputs: config.vocab_size };
  return linear(final.y, headWeight(config, weights), sizes);
}

/** Adds the gradient of Σ coefficients[i] · logp[i] with respect to every parameter to `gradients` (`+=`). */
export function backward(trace: Trace, coefficients: Float64Array, gradients: Weights): void {
  const { config, weights, batch } = trace;
  const head = headSizes(config, batch), width = config.hidden_size, rows = batch.tokens.length;
  const saved = { ...head, w: headWeight(config, weights), targets: batch.targets, lse: trace.lse };
  const { dx: dscored, dw } = logprobsBackward(coefficients, trace.scored, saved);
  accumulate(gradients, headName(config), dw);
  const dfinal = gatherRowsBackward(dscored, batch.rows, { width, total: rows });
  const norm = { w: weight(weights, "model.norm.weight"), rstd: trace.final.rstd, rows, width };
  const last = rmsnormBackward(dfinal, trace.x, norm);
  accumulate(gradients, "model.norm.weight", last.dw);
  let dx: Float64Array = last.dx;
  for (const layer of trace.layers.toReversed()) dx = blockBackward(dx, layer, gradients);
  const sizes = { width, vocabulary: config.vocab_size };
  accumulate(gradients, "model.embed_tokens.weight", embeddingBackward(dx, batch.tokens, sizes));
}

/** Zero gradients for all of `weights`. */
export function zerosLike(weights: Weights): Weights {
  return new Map([...weights].map(([name, values]) => [name, new Float64Array(values.length)]));
}

function body(config: ModelConfig, weights: Weights, batch: ReferenceBatch) {
  const width = config.hidden_size, rows = batch.tokens.length;
  let x = embedding(weight(weights, "model.embed_tokens.weight"), batch.tokens, { width });
  const layers = [];
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = block(x, { config, weights, batch, prefix: `model.layers.${i}` });
    layers.push(layer);
    x = layer.y;
  }
  const final = rmsnorm(x, weight(weights, "model.norm.weight"), { rows, width, eps: config.rms_norm_eps });
  return { x, layers, final };
}

interface BlockContext {
  readonly config: ModelConfig;
  readonly weights: Weights;
  readonly batch: ReferenceBatch;
  /** `model.layers.0`. */
  readonly prefix: string;
}

/** x + attention(norm(x)), then that + mlp(norm(that)). */
function block(x: Float64Array, context: BlockContext) {
  const { config, prefix } = context;
  const sizes = blockSizes(context), { rows, D, F, H, G, K } = sizes;
  const normed = (input: Float64Array, name: string) =>
    rmsnorm(input, weight(context.weights, `${prefix}.${name}.weight`), {
      rows,
      width: D,
      eps: config.rms_norm_eps,
    });
  const project = (input: Float64Array, name: string, outputs: number) =>
    linear(input, weight(context.weights, `${prefix}.${name}.weight`), {
      rows,
      inputs: input.length / rows,
      outputs,
      bias: context.weights.get(`${prefix}.${name}.bias`),
    });

  const norm1 = normed(x, "input_layernorm");
  const q = rope(project(norm1.y, "self_attn.q_proj", H * K), { ...sizes.rope, heads: H });
  const k = rope(project(norm1.y, "self_attn.k_proj", G * K), { ...sizes.rope, heads: G });
  const v = project(norm1.y, "self_attn.v_proj", G * K);
  const { o, lse } = attention(q, k, { ...sizes.attention, v });
  const middle = add(x, project(o, "self_attn.o_proj", D));

  const norm2 = normed(middle, "post_attention_layernorm");
  const gate = project(norm2.y, "mlp.gate_proj", F), up = project(norm2.y, "mlp.up_proj", F);
  const hidden = swiglu(gate, up);
  const y = add(middle, project(hidden, "mlp.down_proj", D));
  return { context, sizes, x, norm1, q, k, v, o, lse, middle, norm2, gate, up, hidden, y };
}

function blockBackward(dy: Float64Array, saved: ReturnType<typeof block>, gradients: Weights): Float64Array {
  const { context: { weights, prefix }, sizes, norm1, q, k, v, o, lse, norm2, gate, up } = saved;
  const { rows, D, H, G } = sizes;
  const unproject = (d: Float64Array, name: string, input: Float64Array) => {
    const w = weight(weights, `${prefix}.${name}.weight`);
    const { dx, dw, dbias } = linearBackward(d, input, {
      w,
      rows,
      inputs: input.length / rows,
      outputs: d.length / rows,
    });
    accumulate(gradients, `${prefix}.${name}.weight`, dw);
    if (weights.has(`${prefix}.${name}.bias`)) accumulate(gradients, `${prefix}.${name}.bias`, dbias);
    return dx;
  };
  const unnorm = (d: Float64Array, name: string, { x, rstd }: { x: Float64Array; rstd: Float64Array }) => {
    const w = weight(weights, `${prefix}.${name}.weight`);
    const { dx, dw } = rmsnormBackward(d, x, { w, rstd, rows, width: D });
    accumulate(gradients, `${prefix}.${name}.weight`, dw);
    return dx;
  };

  const { dgate, dup } = swigluBackward(unproject(dy, "mlp.down_proj", saved.hidden), gate, up);
  const dnorm2 = add(unproject(dgate, "mlp.gate_proj", norm2.y), unproject(dup, "mlp.up_proj", norm2.y));
  const dmiddle = add(dy, unnorm(dnorm2, "post_attention_layernorm", { x: saved.middle, rstd: norm2.rstd }));

  const dO = unproject(dmiddle, "self_attn.o_proj", o);
  const { dq, dk, dv } = attentionBackward(dO, { ...sizes.attention, q, k, v, o, lse });
  const dnorm1 = [
    unproject(ropeBackward(dq, { ...sizes.rope, heads: H }), "self_attn.q_proj", norm1.y),
    unproject(ropeBackward(dk, { ...sizes.rope, heads: G }), "self_attn.k_proj", norm1.y),
    unproject(dv, "self_attn.v_proj", norm1.y),
  ].reduce(add);
  return add(dmiddle, unnorm(dnorm1, "input_layernorm", { x: saved.x, rstd: norm1.rstd }));
}

function blockSizes({ config, batch }: BlockContext) {
  const H = config.num_attention_heads, G = config.num_key_value_heads, K = config.head_dim;
  const T = batch.tokens.length;
  return {
    rows: T,
    D: config.hidden_size,
    F: config.intermediate_size,
    H,
    G,
    K,
    rope: { T, K, positions: batch.positions, inverseFrequencies: inverseFrequencies(config) },
    attention: { T, H, G, K, queryRanges: batch.queryRanges, scale: 1 / Math.sqrt(K) },
  };
}

function headSizes(config: ModelConfig, batch: ReferenceBatch) {
  return { rows: batch.rows.length, width: config.hidden_size, vocabulary: config.vocab_size };
}

function headName(config: ModelConfig): string {
  return config.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
}

function headWeight(config: ModelConfig, weights: Weights): Float64Array {
  return weight(weights, headName(config));
}

function weight(weights: Weights, name: string): Float64Array {
  const found = weights.get(name);
  if (!found) throw new Error(`no weight ${name}`);
  return found;
}

function accumulate(gradients: Weights, name: string, values: Float64Array) {
  const into = weight(gradients, name);
  for (let i = 0; i < into.length; i++) into[i] += values[i];
}
