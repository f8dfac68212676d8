/**
 * The float64 reference proves itself: every operation's backward against central differences of its forward, and
 * the whole network against PyTorch.
 */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { createObjective, softplus } from "../../lib/losses/mod.ts";
import { type ModelConfig } from "../../lib/model/config.ts";
import { paramSpecs } from "../../lib/model/table.ts";
import { packBatch, segmentSums } from "./batch.ts";
import { fixtureJson, fixtureNames, fixtureWeights, loadFixture, type Trajectory } from "./fixture.ts";
import { numericGradient, randomNumbers, relativeError, weighted } from "./gradcheck.ts";
import { backward, forward, logits, type Weights, zerosLike } from "./network.ts";
import * as ops from "./ops.ts";
import { completionSums, lossAndGradients, trainReference } from "./train.ts";

/** Five-point differences at step 1e-4 of functions of size 1 to 30 leave up to 5e-11; twenty times that. */
const DIFFERENCE = 1e-9;

/** Checks `analytic` gradients of Σ dy·forward() with respect to the arrays that `forward` reads. */
function checkGradients(
  forward: () => Float64Array,
  dy: Float64Array,
  pairs: Record<string, readonly [x: Float64Array, analytic: Float64Array]>,
) {
  for (const [name, [x, analytic]] of Object.entries(pairs)) {
    const numeric = numericGradient(() => weighted(forward(), dy), x);
    const error = relativeError(analytic, numeric, 1e-3);
    assert(error < DIFFERENCE, `d${name}: relative error ${error}`);
  }
}

Deno.test("reference: the three matrix products are their definitions", () => {
  const random = randomNumbers(1), M = 3, N = 5, K = 7;
  const a = random.normals(M * K), b = random.normals(K * N);
  const transpose = (x: Float64Array, rows: number, columns: number) =>
    Float64Array.from(x, (_, i) => x[(i % rows) * columns + Math.floor(i / rows)]);
  const wanted = Float64Array.from({ length: M * N }, (_, i) => {
    const m = Math.floor(i / N), n = i % N;
    return Array.from({ length: K }, (_, k) => a[m * K + k] * b[k * N + n]).reduce((x, y) => x + y);
  });
  // three roundings of a sum in the same order
  assert(relativeError(ops.matmulNN(a, b, { M, N, K }), wanted) < 1e-15);
  assert(relativeError(ops.matmulNT(a, transpose(b, K, N), { M, N, K }), wanted) < 1e-15);
  assert(relativeError(ops.matmulTN(transpose(a, M, K), b, { M, N, K }), wanted) < 1e-15);
});

Deno.test("reference: gradients of linear, rmsnorm, rope and swiglu are central differences", () => {
  const random = randomNumbers(2);
  {
    const sizes = { rows: 3, inputs: 5, outputs: 7 };
    const x = random.normals(15), w = random.normals(35), bias = random.normals(7), dy = random.normals(21);
    const { dx, dw, dbias } = ops.linearBackward(dy, x, { ...sizes, w });
    checkGradients(() => ops.linear(x, w, { ...sizes, bias }), dy, {
      x: [x, dx],
      w: [w, dw],
      bias: [bias, dbias],
    });
  }
  for (const [rows, width, scale] of [[3, 7, 1], [1, 1, 0.1], [2, 5, 30]]) {
    const sizes = { rows, width, eps: 1e-2 }; // large enough to matter
    const x = random.normals(rows * width, scale),
      w = random.normals(width),
      dy = random.normals(rows * width);
    const { rstd } = ops.rmsnorm(x, w, sizes);
    const { dx, dw } = ops.rmsnormBackward(dy, x, { ...sizes, w, rstd });
    checkGradients(() => ops.rmsnorm(x, w, sizes).y, dy, { x: [x, dx], w: [w, dw] });
  }
  {
    const options = { T: 4, heads: 3, K: 6, positions: [0, 1, 100, 1], inverseFrequencies: [1, 0.1, 0.01] };
    const x = random.normals(72), dy = random.normals(72);
    checkGradients(() => ops.rope(x, options), dy, { x: [x, ops.ropeBackward(dy, options)] });
    assertEquals(ops.rope(x, options).subarray(0, 18), x.subarray(0, 18)); // position 0 turns nothing
  }
  {
    const gate = random.normals(20, 3), up = random.normals(20), dy = random.normals(20);
    const { dgate, dup } = ops.swigluBackward(dy, gate, up);
    checkGradients(() => ops.swiglu(gate, up), dy, { gate: [gate, dgate], up: [up, dup] });
  }
});

Deno.test("reference: gradients of attention are central differences, whatever a query sees", () => {
  const random = randomNumbers(3);
  const ranges = {
    causal: ops.causalRanges([6]),
    "packed, windowed": ops.causalRanges([1, 4, 1], 2),
    "two ranges, and queries that see nothing": Uint32Array.from([
      ...[0, 1, 0, 0],
      ...[0, 2, 0, 0],
      ...[0, 0, 0, 0],
      ...[0, 2, 2, 4],
      ...[1, 2, 4, 5],
      ...[3, 3, 5, 6],
    ]),
  };
  for (const [name, queryRanges] of Object.entries(ranges)) {
    for (const [H, G, K] of [[4, 2, 3], [3, 1, 2], [2, 2, 1]]) {
      const options = { T: 6, H, G, K, queryRanges, scale: 1 / Math.sqrt(K) };
      const q = random.normals(6 * H * K), k = random.normals(6 * G * K), v = random.normals(6 * G * K);
      const dO = random.normals(6 * H * K);
      const { o, lse } = ops.attention(q, k, { ...options, v });
      const { dq, dk, dv } = ops.attentionBackward(dO, { ...options, q, k, v, o, lse });
      checkGradients(() => ops.attention(q, k, { ...options, v }).o, dO, {
        q: [q, dq],
        k: [k, dk],
        v: [v, dv],
      });
      if (name.endsWith("nothing")) {
        assertEquals(o.subarray(2 * H * K, 3 * H * K), new Float64Array(H * K));
        assertEquals(lse[2 * H], -Infinity);
        // a query that sees one key returns its value
        assertAlmostEquals(o[5 * H * K], v[5 * G * K], 1e-15);
      }
    }
  }
});

Deno.test("reference: gradients of embedding, gathered rows and head are central differences", () => {
  const random = randomNumbers(4), width = 5, vocabulary = 7;
  {
    const table = random.normals(vocabulary * width), tokens = [3, 0, 3, 6, 3], dy = random.normals(25);
    const dtable = ops.embeddingBackward(dy, tokens, { width, vocabulary });
    checkGradients(() => ops.embedding(table, tokens, { width }), dy, { table: [table, dtable] });
  }
  {
    const x = random.normals(4 * width), rows = [2, 2, 0], dy = random.normals(3 * width);
    const dx = ops.gatherRowsBackward(dy, rows, { width, total: 4 });
    checkGradients(() => ops.gatherRows(x, rows, { width }), dy, { x: [x, dx] });
  }
  for (const scale of [1, 10]) {
    const sizes = { rows: 3, width, vocabulary, targets: [6, 0, 0] };
    const x = random.normals(3 * width, scale),
      w = random.normals(vocabulary * width),
      dlogp = random.normals(3);
    const { logp, lse } = ops.logprobs(x, w, sizes);
    const { dx, dw } = ops.logprobsBackward(dlogp, x, { ...sizes, w, lse });
    checkGradients(() => ops.logprobs(x, w, sizes).logp, dlogp, { x: [x, dx], w: [w, dw] });
    assert(logp.every((value) => value < 0));
  }
});

/** A tiny model of odd sizes with random weights. */
function tinyModel(seed: number, over: Partial<ModelConfig>) {
  const config: ModelConfig = {
    architecture: "LlamaForCausalLM",
    model_type: "llama",
    hidden_size: 5,
    intermediate_size: 7,
    num_hidden_layers: 2,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    head_dim: 4,
    vocab_size: 11,
    rms_norm_eps: 1e-5,
    max_position_embeddings: 64,
    rope: {
      rope_type: "llama3",
      rope_theta: 100,
      factor: 4,
      low_freq_factor: 0.5,
      high_freq_factor: 2,
      original_max_position_embeddings: 16,
    },
    sliding_window: null,
    attention_bias: false,
    tie_word_embeddings: false,
    hidden_act: "silu",
    bos_token_id: null,
    eos_token_ids: [],
    raw: {},
    ...over,
  };
  const random = randomNumbers(seed);
  const weights: Weights = new Map(
    paramSpecs(config).map(({ name, shape, kind }) => {
      const length = shape.reduce((a, b) => a * b, 1);
      return [name, kind === "norm" ? random.normals(length, 0.2, 1) : random.normals(length, 0.6)];
    }),
  );
  const tokens = (length: number) => Array.from({ length }, () => random.below(config.vocab_size));
  return { config, weights, tokens };
}

const tinyVariants: Record<string, Partial<ModelConfig>> = {
  plain: {},
  "window, groups": { sliding_window: 3, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 2 },
  "biases, tied": { attention_bias: true, tie_word_embeddings: true },
};

for (const [name, over] of Object.entries(tinyVariants)) {
  Deno.test(`reference: gradients of the whole network (${name}) are central differences`, () => {
    const { config, weights, tokens } = tinyModel(5, over);
    const batch = packBatch([
      { prompt: tokens(3), completions: [tokens(2), tokens(4)] }, // the prompt once, for both
      { prompt: tokens(1), completions: [tokens(1)] },
    ], config.sliding_window);
    const coefficients = randomNumbers(6).normals(batch.rows.length);
    const gradients = zerosLike(weights);
    backward(forward(config, weights, batch), coefficients, gradients);
    for (const [tensor, w] of weights) {
      const numeric = numericGradient(() => weighted(forward(config, weights, batch).logp, coefficients), w);
      // rounding leaves 1e-11 per element whatever the gradient's size, so small gradients are measured absolutely;
      // compositions have larger fifth derivatives and longer sums: ten times what one operation needs
      const error = relativeError(gradients.get(tensor)!, numeric, 0.1);
      assert(error < 10 * DIFFERENCE, `${tensor}: relative error ${error}`);
    }
  });

  Deno.test(`reference: packed rows and shared prompts (${name}) change nothing`, () => {
    const { config, weights, tokens } = tinyModel(7, over);
    const examples = [
      { prompt: tokens(4), completions: [tokens(5), tokens(1)] },
      { prompt: tokens(1), completions: [tokens(1), tokens(3)] },
    ];
    const separate = examples.flatMap(({ prompt, completions }) =>
      completions.map((completion) => ({ prompt, completions: [completion] }))
    );
    const random = randomNumbers(8);
    const slopes = separate.map(() => random.normal());
    const run = (batches: ReturnType<typeof packBatch>[]) => {
      const gradients = zerosLike(weights), logps: number[] = [];
      let first = 0;
      for (const batch of batches) {
        const trace = forward(config, weights, batch);
        const at = first;
        backward(trace, Float64Array.from(batch.segments, (segment) => slopes[at + segment]), gradients);
        const sums = segmentSums(batch, trace.logp);
        first += sums.length;
        logps.push(...sums);
      }
      return { logps, gradients };
    };
    const window = config.sliding_window;
    const alone = run(separate.map((example) => packBatch([example], window)));
    for (const other of [run([packBatch(separate, window)]), run([packBatch(examples, window)])]) {
      // the same float64 sums in another order
      assert(relativeError(other.logps, alone.logps) < 1e-14);
      for (const [tensor, gradient] of alone.gradients) {
        assert(relativeError(other.gradients.get(tensor)!, gradient) < 1e-12, tensor);
      }
    }
  });
}

/**
 * PyTorch computed the goldens in float64, but Transformers' RoPE tables and RMSNorm statistics in float32, and
 * gradients were stored in float32. `f32_noise` in expected.json says what float32 throughout does; the reference
 * must be nearer than that.
 */
const gradientCases: readonly [file: string, loss: string, name: string][] = [
  ["mipo", "mipo", "mipo"],
  ["dpo", "dpo", "dpo"],
  ["dpo_label_smoothing", "dpo", "dpo label_smoothing"],
  ["sft", "sft", "sft"],
];

for (const name of fixtureNames) {
  Deno.test(`reference: logits and log-probabilities of ${name} are PyTorch's`, async () => {
    const { config, policy, reference, expected, pairs, chat } = await loadFixture(name);
    const goldens = await fixtureWeights(`${name}/logits.safetensors`);
    assertEquals(goldens.size, 4);
    for (const [key, golden] of goldens) {
      const [_, row, side] = key.split(".");
      const { prompt, completions: [chosen, rejected] } = pairs[Number(row)];
      const completion = side === "chosen" ? chosen : rejected;
      const batch = packBatch([{ prompt, completions: [completion] }], config.sliding_window);
      const got = logits(config, policy, batch);
      assertEquals(got.length, golden.length);
      // logits are of size 10 to 30; the largest angles, 100 radians, have float32 errors of 4e-6
      const worst = got.reduce((max, value, i) => Math.max(max, Math.abs(value - golden[i])), 0);
      assert(worst < 2e-5, `${key}: maximum absolute error ${worst}`);
    }
    for (const [examples, rows] of [[pairs, expected.pairs], [chat, expected.chat]] as const) {
      for (const [i, example] of examples.entries()) {
        for (const [weights, prefix] of [[policy, ""], [reference, "ref_"]] as const) {
          const row = rows[i], golden = [row[`${prefix}chosen_logp`], row[`${prefix}rejected_logp`]];
          const error = completionSums(config, weights, example).map((sum, k) =>
            Math.abs(sum / golden[k] - 1)
          );
          assert(Math.max(...error) < 5e-7, `row ${i}: relative error ${error}`);
        }
      }
    }
  });

  Deno.test(`reference: gradients of ${name} are PyTorch's`, async () => {
    const { config, policy, reference, expected, pairs, sft } = await loadFixture(name);
    const refSums = pairs.map((pair) => completionSums(config, reference, pair));
    for (const [file, loss, label] of gradientCases) {
      const { parameters, mean } = loss === "sft"
        ? { parameters: {}, mean: expected.sft.loss }
        : expected.losses[label];
      const objective = createObjective({ loss_type: loss, ...parameters });
      const setting = { config, weights: policy, objective };
      const step = loss === "sft"
        ? lossAndGradients(setting, sft)
        : lossAndGradients(setting, pairs, refSums);
      assertAlmostEquals(step.loss / mean, 1, 2e-6, label);
      const goldens = await fixtureWeights(`${name}/gradients.${file}.safetensors`);
      assertEquals([...goldens.keys()].sort(), [...step.gradients.keys()].sort());
      // a key's bias would have no gradient but for RoPE: what is left of it cancels most (2.6e-6 in qwen2)
      const noise = Math.max(3e-6, expected.f32_noise[`gradients ${label}, relative in norm, worst tensor`]);
      for (const [tensor, golden] of goldens) {
        const error = relativeError(step.gradients.get(tensor)!, golden);
        assert(error < noise, `${label}, ${tensor}: relative error ${error}`);
      }
    }
  });

  Deno.test(`reference: ten AdamW steps of ${name} are PyTorch's`, async () => {
    const { config, policy, reference, pairs, sft } = await loadFixture(name);
    for (const loss of ["mipo", "dpo", "sft"]) {
      const golden = await fixtureJson<Trajectory>(`${name}/trajectory.${loss}.json`);
      const beta = golden.beta ?? 0;
      const weights: Weights = new Map([...policy].map(([key, values]) => [key, values.slice()]));
      const setting = {
        config,
        weights,
        reference: loss === "sft" ? undefined : reference,
        objective: createObjective({ loss_type: loss, ...golden.beta === undefined ? {} : { beta } }),
      };
      const steps = trainReference(setting, loss === "sft" ? sft : pairs, golden.options);
      assertEquals(steps.length, golden.steps.length);
      for (const [i, wanted] of golden.steps.entries()) {
        assertEquals(Object.keys(steps[i]).sort(), Object.keys(wanted).sort());
        for (const [key, value] of Object.entries(wanted)) {
          // rewards are differences: of sums (DPO's, times beta) or of each other (margins)
          const side = key.endsWith("rejected") ? "rejected" : "chosen";
          const size = loss === "dpo" && key.startsWith("rewards/")
            ? beta * Math.abs(wanted[`logps/${side}`])
            : key === "rewards/margins"
            ? Math.abs(wanted["rewards/chosen"])
            : 0;
          const error = Math.abs(steps[i][key] - value) / Math.max(Math.abs(value), size, 1e-30);
          assert(error < 2e-6, `${loss}, step ${i + 1}, ${key}: ${steps[i][key]}, wanted ${value}`);
        }
      }
      for (const [tensor, values] of await fixtureWeights(`${name}/final.${loss}.safetensors`)) {
        const error = relativeError(weights.get(tensor)!, values);
        assert(error < 5e-6, `weights after ${loss}, ${tensor}: relative error ${error}`);
      }
    }
  });
}

Deno.test("reference: schedules warm up from 0 and end at 0", () => {
  const options = { learning_rate: 8, warmup_ratio: 0.15, max_steps: 10 }; // a warm-up of ceil(1.5) = 2 steps
  const rates = (type: "constant" | "linear" | "cosine") =>
    Array.from({ length: 11 }, (_, s) => ops.learningRate(s, { ...options, lr_scheduler_type: type }));
  assertEquals(rates("linear"), [0, 4, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
  assertEquals(rates("constant"), [0, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8]);
  const cosine = rates("cosine");
  assertEquals(cosine.slice(0, 3), [0, 4, 8]);
  assertAlmostEquals(cosine[6], 4, 1e-14);
  assertAlmostEquals(cosine[10], 0, 1e-14);
});

Deno.test("reference: with the policy as its own reference the loss is what it must be at step 0", async () => {
  const { config, policy, pairs } = await loadFixture("llama");
  const refSums = pairs.map((pair) => completionSums(config, policy, pair));
  for (const loss_type of ["mipo", "dpo"]) {
    const objective = createObjective({ loss_type, beta: 10 });
    const wanted = pairs.map((pair, i) => {
      const K = refSums[i][0] / pair.completions[0].length - refSums[i][1] / pair.completions[1].length;
      return loss_type === "dpo" ? Math.LN2 : softplus(10 * softplus(-K));
    });
    const { loss: got } = lossAndGradients({ config, weights: policy, objective }, pairs, refSums);
    assertAlmostEquals(got, wanted.reduce((a, b) => a + b) / pairs.length, 1e-11, loss_type);
  }
});
