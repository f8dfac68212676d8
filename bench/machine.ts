/** The model of the machine: a training plan's kernels as predicted, beside what they take where that can be measured. */
import { type Gpu, nullGpu } from "../lib/gpu/device.ts";
import { Plan } from "../lib/gpu/plan.ts";
import { tickNanoseconds } from "../lib/gpu/stopwatch.ts";
import { createObjective } from "../lib/losses/mod.ts";
import { linearModules } from "../lib/model/adapter_config.ts";
import { createPolicy } from "../lib/model/adapters.ts";
import type { ModelConfig } from "../lib/model/config.ts";
import { parseModelConfig } from "../lib/model/families/mod.ts";
import { planMicroBatch } from "../lib/train/programs.ts";
import type { Ceiling } from "../lib/tuning/ceiling.ts";
import { CARDS, type KernelPrediction, type Machine, predictPlan } from "../lib/tuning/machine.ts";
import { flopsPerDispatch } from "../lib/tuning/pace.ts";
import { machineOf } from "../lib/tuning/this_machine.ts";
import { digitsOf } from "./ceiling.ts";
import type { Report } from "./row.ts";
import { createRunner, FULL, stepNumbers, type Workload, workOf } from "./workload.ts";

/** Sizes of Mistral-7B-v0.1. */
export const MISTRAL_7B: ModelConfig = parseModelConfig({
  architectures: ["MistralForCausalLM"],
  model_type: "mistral",
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 32000,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 32768,
  sliding_window: 4096,
  hidden_act: "silu",
  rope_theta: 10000,
}, "the sizes of Mistral-7B");

/** What a card is to train. */
export interface CardWork {
  readonly config: ModelConfig;
  readonly tokens: number;
  /** Rank of the adapters on every linear layer but the head; 0: all weights are trained. */
  readonly loraR: number;
}

/** The steps of a micro-batch of training on a card, on paper. */
export async function cardPlan({ gflops }: Machine, { config, tokens, loraR }: CardWork): Promise<Plan> {
  const gpu = nullGpu("gpu", { maxBufferSize: 2 ** 40, maxStorageBufferBindingSize: 2 ** 32 - 4 });
  gpu.pace.flopsPerDispatch = flopsPerDispatch(gflops);
  const modules = linearModules(config).map(({ name }) => name).filter((name) => name !== "lm_head");
  const lora = loraR > 0 ? { r: loraR, lora_alpha: 2 * loraR, use_rslora: false, modules } : undefined;
  const { plan } = await planMicroBatch(gpu, {
    params: createPolicy(gpu, config, { lora, trainable: true }),
    positions: tokens,
    capacity: { tokens, targets: Math.ceil(tokens / 2 / 8) * 8, segments: 8, examples: 4 },
    compute: "f32",
    objective: createObjective({ loss_type: "mipo", beta: 10 }),
    checkpointing: false,
    batchSize: 4,
    adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    maxGradNorm: 1,
  });
  return plan;
}

/** Predicts a card's micro-batch. */
export async function cardSuite(report: Report, card: string, work: CardWork): Promise<void> {
  const machine = CARDS[card]!;
  const plan = await cardPlan(machine, work);
  report.note(describe(machine));
  const trained = work.loraR > 0 ? `LoRA of rank ${work.loraR}` : "all weights";
  report.note(
    `a micro-batch of ${work.tokens} tokens, ${trained}, without the optimiser; nothing was measured`,
  );
  addRows(report, predictPlan(plan.steps, machine));
}

/** Predicts and measures a micro-batch on this adapter, whose ceilings are measured first. */
export async function machineSuite(
  gpu: Gpu,
  report: Report,
  { rounds, ceiling, workload }: { rounds: number; ceiling: Ceiling; workload: Workload },
): Promise<void> {
  const runner = await createRunner(gpu, workload);
  const rows = runner.steps[0]!;
  const work = workOf(runner, rows, FULL);
  const { micro } = runner.engine.plans;
  const stamped = await tickNanoseconds(gpu) !== null;
  if (!stamped) report.note("nothing is measured: this adapter has no timestamps of use");
  runner.engine.submit(work, stepNumbers()); // loads a batch, and compiles
  await runner.engine.finish();
  let best: Float64Array | undefined;
  for (let round = 0; round < rounds; round++) {
    const times = stamped ? await micro.time() : undefined;
    if (times) best = best ? best.map((ns, i) => Math.min(ns, times[i]!)) : times;
    // Whatever slows the machine down meanwhile slows its ceilings, too.
    await ceiling.fma();
    await ceiling.copy();
  }
  const machine = await machineOf(gpu, ceiling);
  report.note(describe(machine));
  addRows(report, predictPlan(micro.steps, machine, best));
  runner.destroy();
}

function describe({ name, gflops, gbytes, units, launchUs }: Machine): string {
  return `${name}: ${digitsOf(gflops * 1e9)}FLOP/s, ${digitsOf(gbytes * 1e9)}B/s, ${units} units, ` +
    `${launchUs.toFixed(1)} µs a launch`;
}

function addRows(report: Report, predictions: readonly KernelPrediction[]): void {
  const total = predictions.reduce((sum, { ms }) => sum + ms, 0);
  const measured = predictions.reduce((sum, { measuredMs = NaN }) => sum + measuredMs, 0);
  const beside = (ms: number | undefined) =>
    ms === undefined || Number.isNaN(ms) ? {} : { peer: "measured", peer_value: ms };
  for (const { kernel, calls, ms, flops, bytes, workgroups, bound, measuredMs } of predictions) {
    const size = `${digitsOf(flops)}FLOP, ${digitsOf(bytes)}B, ${digitsOf(workgroups)}workgroups`;
    const what = `${kernel} x ${calls} (${size}; ${bound}, ${(100 * ms / total).toFixed(1)} %)`;
    report.add({ case: what, unit: "ms", value: ms, ...beside(measuredMs) });
  }
  report.add({ case: "all kernels, predicted", unit: "ms", value: total, ...beside(measured) });
}
