/** The losses' float64 twins: against PyTorch and TRL, against their own differences, and at any magnitude. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import {
  createObjective,
  getLoss,
  losses,
  lossHyper,
  type LossInputs,
  sigmoid,
  softplus,
} from "../../lib/losses/mod.ts";
import { boundedExpm1, logOdds } from "../../lib/losses/math.ts";
import { type Expected, fixtureJson, fixtureNames } from "../reference/fixture.ts";
import { cases, extremeInputs, pair, settings } from "./cases.ts";

/** Relative error, absolute below `floor`. */
const relative = (a: number, b: number, floor = 1e-300) => Math.abs(a - b) / Math.max(Math.abs(b), floor);

for (const family of fixtureNames) {
  Deno.test(`losses: values and derivatives of the ${family} fixture are PyTorch's`, async () => {
    const { losses: goldens, pairs } = await fixtureJson<Expected>(`${family}/expected.json`);
    assertEquals(Object.keys(goldens).length, 16);
    for (const [name, golden] of Object.entries(goldens)) {
      const objective = createObjective({ loss_type: name.split(" ")[0]!, ...golden.parameters });
      const values = pairs.map((p) =>
        objective.evaluate({
          chosen: p.chosen_logp,
          rejected: p.rejected_logp,
          refChosen: p.ref_chosen_logp,
          refRejected: p.ref_rejected_logp,
          chosenTokens: p.chosen_tokens,
          rejectedTokens: p.rejected_tokens,
          label: 1,
          baseline: 0,
        })
      );
      values.forEach((value, i) => {
        // the same float64 arithmetic in another order; 1e-12 absolute where a difference cancels
        assert(relative(value.loss, golden.pairs[i]!.loss, 1) < 1e-12, `${name} ${i}`);
        assert(relative(value.dChosen, golden.pairs[i]!.d_chosen, 1) < 1e-12, `${name} ${i}`);
        assert(relative(value.dRejected, golden.pairs[i]!.d_rejected, 1) < 1e-12, `${name} ${i}`);
      });
      const mean = values.reduce((sum, { loss }) => sum + loss, 0) / values.length;
      // TRL's own trainer, in float32 on sums of hundreds of nats
      if (golden.trl !== undefined) assert(relative(mean, golden.trl) < 2e-5, `${name}: TRL ${golden.trl}`);
    }
  });
}

Deno.test("losses: derivatives are the central differences of the value", () => {
  for (const [name, objective] of cases) {
    for (const chosen of [-60, -31.5, -29, -3]) {
      for (const label of objective.rows === "labelled" ? [1, -1] : [1]) {
        const x = pair({ chosen, refChosen: chosen + 1.5, label, baseline: objective.baseline ? 0.7 : 0 });
        const at = (over: Partial<LossInputs>) => objective.evaluate({ ...x, ...over }).loss;
        const { dChosen, dRejected } = objective.evaluate(x);
        const step = 1e-4;
        const byChosen = (at({ chosen: chosen + step }) - at({ chosen: chosen - step })) / (2 * step);
        const byRejected = (at({ rejected: x.rejected + step }) - at({ rejected: x.rejected - step })) /
          (2 * step);
        // truncation step²·f'''/6, of which exp(α·score) and β³ are the largest here; rounding 1e-16·loss/step
        const tolerance = 1e-7 * (1 + Math.abs(dChosen) + Math.abs(dRejected)) + 1e-11 * at({});
        assertAlmostEquals(dChosen, byChosen, tolerance, `${name} ${chosen} ${label}`);
        assertAlmostEquals(dRejected, byRejected, tolerance, `${name} ${chosen} ${label}`);
      }
    }
  }
});

Deno.test("losses: mipo at step 0 is softplus(beta softplus(-K)), dpo ln 2", () => {
  // published values at beta = 20, rounded to two digits
  for (const [K, wanted] of [[-1, 26.27], [-0.5, 19.48], [0, 13.86], [0.5, 9.48], [1, 6.27]] as const) {
    const x = pair({ refChosen: (K - 4) * 7, refRejected: -4 * 11, chosen: (K - 4) * 7, rejected: -4 * 11 });
    const mipo = createObjective({ loss_type: "mipo", beta: 20 });
    assertAlmostEquals(mipo.evaluate(x).loss, wanted, 0.005);
    assertAlmostEquals(mipo.evaluate(x).loss, softplus(20 * softplus(-K)), 1e-12);
  }
  for (const label_smoothing of [0, 0.1, 0.49]) {
    const dpo = createObjective({ loss_type: "dpo", beta: 0.1, label_smoothing });
    assertAlmostEquals(dpo.evaluate(pair({ chosen: -33, rejected: -40.5 })).loss, Math.LN2, 1e-15);
  }
});

Deno.test("losses: mipo's limits are length-normalised DPO and SimPO without a target margin", () => {
  const mipo = createObjective({ loss_type: "mipo", beta: 2 });
  const negLogSigmoid = (x: number) => softplus(-x);
  for (const margin of [-2, 0, 0.7, 3]) {
    const at = (K: number) =>
      // c̄₀ − r̄₀ = K, c̄ − r̄ = margin + max(K, 0)
      mipo.evaluate(
        pair({ chosen: (margin + Math.max(K, 0)) * 7, rejected: 0, refChosen: K * 7, refRejected: 0 }),
      ).loss;
    assertAlmostEquals(at(40), negLogSigmoid(2 * margin), 1e-12);
    assertAlmostEquals(at(-40), negLogSigmoid(2 * margin), 1e-12);
    // constant K is SimPO with gamma / beta = softplus(K)
    const K = 0.3;
    const simpo = createObjective({ loss_type: "simpo", beta: 2, simpo_gamma: 2 * softplus(K) });
    const x = pair({ chosen: (margin + K) * 7, rejected: 0, refChosen: K * 7, refRejected: 0 });
    assertAlmostEquals(mipo.evaluate(x).loss, simpo.evaluate(x).loss, 1e-12);
  }
  // nearly linear until the margin reaches softplus(K): half the full slope exactly there
  const x = pair({ chosen: 7 * Math.LN2, rejected: 0, refChosen: 0, refRejected: 0 });
  assertAlmostEquals(
    createObjective({ loss_type: "mipo", beta: 20 }).evaluate(x).dChosen,
    -20 / 2 / 7,
    1e-12,
  );
});

Deno.test("losses: what is a case of another is it", () => {
  const value = (setting: Parameters<typeof createObjective>[0], x: LossInputs) => {
    const { loss, dChosen, dRejected } = createObjective(setting).evaluate(x);
    return [loss, dChosen, dRejected];
  };
  for (const x of [pair(), pair({ chosen: -36 }), pair({ rejected: -30 })]) {
    const dpo = value({ loss_type: "dpo", beta: 0.3 }, x);
    assertEquals(value({ loss_type: "sigmoid", beta: 0.3 }, x), dpo);
    assertEquals(value({ loss_type: "robust", beta: 0.3, label_smoothing: 0 }, x), dpo);
    assertEquals(value({ loss_type: "rdpo", beta: 0.3, rdpo_alpha: 0 }, x), dpo);
    assertEquals(value({ loss_type: "dpop", beta: 0.3, dpop_lambda: 0 }, x), dpo);
    assertEquals(
      value({ loss_type: "alphapo", beta: 2, alpha: 0, gamma: 0.4 }, x),
      value({ loss_type: "simpo", beta: 2, gamma: 0.4 }, x),
    );
    // α → 0 is log p itself
    const [near] = value({ loss_type: "alphapo", beta: 2, alpha: 1e-9, gamma: 0.4 }, x);
    assertAlmostEquals(near!, value({ loss_type: "simpo", beta: 2, gamma: 0.4 }, x)[0]!, 1e-7);
    const sum = value({ loss_type: ["dpo", "hinge"], loss_weights: [2, 0.5], beta: 0.3 }, x);
    const hinge = value({ loss_type: "hinge", beta: 0.3 }, x);
    sum.forEach((one, i) => assertAlmostEquals(one, 2 * dpo[i]! + 0.5 * hinge[i]!, 1e-12));
  }
});

Deno.test("losses: the NLL of a list, of cpo and of sft_weight add up, and sft alone is nothing else", () => {
  const weight = (setting: Parameters<typeof createObjective>[0]) => createObjective(setting).nllWeight;
  assertEquals(weight({ loss_type: "sft" }), 1);
  assertEquals(weight({ loss_type: "mipo" }), 0);
  assertEquals(weight({ loss_type: "mipo", sft_weight: 0.2 }), 0.2);
  assertEquals(weight({ loss_type: "cpo", cpo_alpha: 0.5, sft_weight: 0.25 }), 0.75);
  assertEquals(weight({ loss_type: ["dpo", "sft"], loss_weights: [1, 0.5] }), 0.5);
  assertEquals(createObjective({ loss_type: ["sft", "dpo"] }).rows, "pair");
  assertEquals(createObjective({ loss_type: "sft" }).evaluate(pair()), { loss: 0, dChosen: 0, dRejected: 0 });
});

Deno.test("losses: rewards are TRL's", () => {
  const rewards = (setting: Parameters<typeof createObjective>[0]) =>
    createObjective(setting).rewards!(pair());
  assertEquals(rewards({ loss_type: "mipo", beta: 10 }), [-45, 10 * (-42.25 / 11)]);
  assertEquals(rewards({ loss_type: "dpo", beta: 0.5 }), [0.75, -0.875]);
  assertEquals(rewards({ loss_type: "cpo", beta: 0.5 }), [-15.75, -21.125]);
  assertEquals(rewards({ loss_type: "orpo", beta: 10 }), rewards({ loss_type: "mipo", beta: 10 }));
  assertEquals(createObjective({ loss_type: "sft" }).rewards, undefined);
});

Deno.test("losses: only those against a reference ask for one", () => {
  const without = Object.keys(losses).filter((name) => !createObjective({ loss_type: name }).needsReference);
  assertEquals(without, ["simpo", "cpo", "alphapo", "orpo", "sft"]);
});

Deno.test("losses: finite in value and derivative at any magnitude", () => {
  for (const [name, objective] of cases) {
    for (const x of extremeInputs()) {
      const { loss, dChosen, dRejected } = objective.evaluate(x);
      const where = `${name} ${JSON.stringify(x)}: ${loss} ${dChosen} ${dRejected}`;
      assert([loss, dChosen, dRejected].every(Number.isFinite), where);
      // in float32, too, with room for squares of gradients
      assert([dChosen, dRejected].every((d) => Math.abs(d) < 1e19), where);
    }
  }
});

Deno.test("losses: those that are convex in the margin are monotone on a ladder of chosen sums", () => {
  const ladder = [-1e4, -1e3, -100, -10, -1, -1e-3, 0, 1e-3, 1, 10, 100, 1e3, 1e4];
  for (const [name, objective] of cases) {
    if (!/mipo|"dpo|"simpo|sigmoid_norm|hinge/.test(name) || name.includes("smoothing")) continue;
    for (const K of [-1e3, -1, 0, 1, 1e3]) {
      for (const rejected of [-1e4, 0, 1e4]) {
        const rows = ladder.map((chosen) =>
          objective.evaluate(pair({ chosen, rejected, refChosen: K * 7, refRejected: 0 }))
        );
        rows.forEach(({ loss, dChosen, dRejected }, i) => {
          const where = `${name} K ${K} chosen ${ladder[i]} rejected ${rejected}`;
          assert(dChosen <= 0 && dRejected >= 0, where);
          if (i > 0) assert(dChosen >= rows[i - 1]!.dChosen && loss <= rows[i - 1]!.loss, where);
        });
      }
    }
  }
});

Deno.test("losses: softplus, sigmoid, the bounded exponential and log-odds keep relative accuracy in the tails", () => {
  assertEquals(softplus(1e30), 1e30);
  assertEquals(softplus(-1e30), 0);
  for (const x of [-700, -50, -20]) {
    assert(relative(softplus(x), Math.exp(x)) < 3e-9);
    assert(relative(sigmoid(x), Math.exp(x)) < 3e-9);
  }
  for (const x of [-5, -0.1, 0, 0.1, 5]) {
    assertAlmostEquals(softplus(x), Math.log(1 + Math.exp(x)), 1e-15);
    assertAlmostEquals(sigmoid(x) + sigmoid(-x), 1, 1e-15);
  }
  for (const t of [-3, 1e-9, 0.5, 39.9]) assert(relative(boundedExpm1(t).value, Math.expm1(t)) < 1e-15);
  for (const x of [-3, -0.693, -0.694, -1e-3]) {
    assertAlmostEquals(logOdds(x).value, Math.log(Math.exp(x) / (1 - Math.exp(x))), 1e-12);
  }
  // both go on with the slope that they have where they leave the function
  for (const [f, end] of [[boundedExpm1, 40], [logOdds, -(2 ** -20)]] as const) {
    const inside = f(end - 1e-9 * Math.abs(end)), outside = f(end + 1e-9 * Math.abs(end));
    assert(relative(outside.slope, inside.slope) < 1e-6 && relative(outside.value, inside.value) < 1e-6);
    const far = f(end + 1);
    assert(relative(far.value - f(end).value, far.slope) < 1e-9);
  }
});

Deno.test("losses: an unknown name, an option out of range and what does not go together are refused by name", () => {
  assertEquals(getLoss("dpo"), losses.dpo);
  assertThrows(() => getLoss("mpio"), InputError, "known are mipo, dpo, sigmoid, robust");
  assertThrows(() => getLoss("mpio"), InputError, 'Did you mean "mipo"?');
  assertThrows(() => getLoss("toString"), InputError, "known are");
  assertEquals(lossHyper(losses.mipo), { beta: 10 });
  assertEquals(lossHyper(losses.dpo, { beta: undefined, learning_rate: 1 }), {
    beta: 0.1,
    label_smoothing: 0,
  });
  assertEquals(lossHyper(losses.simpo, { gamma: 1.5 }), { beta: 2, simpo_gamma: 1.5 });
  assertThrows(() => lossHyper(losses.dpo, { label_smoothing: 0.5 }), InputError, "label_smoothing is 0.5");
  assertThrows(() => lossHyper(losses.exo_pair, { label_smoothing: 0 }), InputError, "label_smoothing is 0");
  assertThrows(() => lossHyper(losses.mipo, { beta: 0 }), InputError, "beta is 0");
  assertThrows(() => lossHyper(losses.mipo, { beta: "10" }), InputError, 'beta is "10"');
  for (const [name, loss] of Object.entries(losses)) if (name !== "sigmoid") assertEquals(loss.name, name);
  assertThrows(
    () => createObjective({ loss_type: ["dpo", "kto"] }),
    InputError,
    "kto takes completions with a label",
  );
  assertThrows(
    () => createObjective({ loss_type: ["dpo", "sft"], loss_weights: [1] }),
    InputError,
    "loss_weights has 1 numbers, loss_type 2",
  );
  assertThrows(() => createObjective({ loss_type: [] }), InputError, "empty list");
  assertThrows(() => createObjective({ loss_type: "kto", ld_alpha: 0.5 }), InputError, "ld_alpha");
});

Deno.test("losses: the cases of these tests name every loss", () => {
  const named = new Set(settings.flatMap(({ loss_type }) => loss_type));
  assertEquals(Object.keys(losses).filter((name) => !named.has(name)), []);
});
