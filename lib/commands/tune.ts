/**
 * The task `tune`: every problem class of a model's training, scoring and generation, tuned and remembered.
 */
import type { Outcome } from "../tuning/tuner.ts";
import { type ModelConfig } from "../model/config.ts";
import { parseModelConfig } from "../model/families/mod.ts";
import { roundUp8 } from "../data/batch.ts";
import { BUILT_IN_COPY } from "./built_in.ts";
import { materializeDefault } from "../world/default.ts";
import { openModel } from "../load/model.ts";
import type { RunHooks } from "../events.ts";
import { withAdapter } from "../load/adapter.ts";
import { computeDtype, MODEL, model, wholeAbove0 } from "./shared_options.ts";
import { z } from "../deps.ts";
import { defineOptions } from "../options/options.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import type { Gpu } from "../gpu/device.ts";
import { type ModelWork, tuneClasses, type WorkClass, workClasses } from "../tuning/prepare.ts";
import { type CachedChoice, cachePath, readChoices } from "../tuning/cache.ts";

/** Options of `tune`, resolved. */
export interface TuneOptions {
  /** Model directory or `org/name` on the hub; without it the built-in model and common sizes. */
  model?: string;
  /** Tokens in one micro-batch, or "auto": the usual ones. */
  token_budget: "auto" | number;
  /** Number format of matmul inputs. */
  compute_dtype: "f32" | "bf16";
  /** Seconds after which no further candidate is tried. */
  max_seconds: number;
  /** Tune anew what was tuned before. */
  force: boolean;
}

const tuneShape: ShapeOf<TuneOptions> = {
  model: model.optional().describe(`${MODEL}; by default the built-in model and common sizes`),
  token_budget: z.union([z.literal("auto"), wholeAbove0()]).default("auto").describe(
    "tokens computed at a time, as in train; auto: 1,024 to 4,096 in powers of two",
  ),
  compute_dtype: computeDtype,
  max_seconds: z.number().positive().default(600).describe(
    "seconds after which no further candidate is tried; what was found is kept, the next call goes on",
  ),
  force: z.boolean().default(false).describe("tune anew what was tuned before"),
};

/** Options of `tune`. */
export const tuneOptions: OptionSet<TuneOptions> = defineOptions<TuneOptions>({
  task: "tune",
  summary:
    "Finds the fastest kernels for a model on this adapter, checks them, remembers them for later runs, and prints " +
    "the table.",
  shape: tuneShape,
});

/** One line of the table: one variant of one class. */
export interface TuneRow {
  /** Class of problems. */
  readonly key: string;
  /** The kernel variant's name. */
  readonly variant: string;
  /** Milliseconds of one computation. */
  readonly best_ms: number;
  /** Milliseconds of one computation, median. */
  readonly median_ms: number;
  /** GFLOP/s at best. */
  readonly gflops: number;
  /** How many times as fast as variant 0, and as what is taken without tuning. */
  readonly over_first: number;
  /** How many times as fast as what is taken without tuning. */
  readonly over_default: number;
  /** Whether it is taken from now on. */
  readonly chosen: boolean;
  /** Whether it is taken without tuning. */
  readonly is_default: boolean;
}

/** Tokens of a micro-batch that training meets with `token_budget` auto. */
const USUAL_TOKENS = [1024, 2048, 4096];

/** Hidden size, MLP size, query and key/value heads of models that people train: 20 M to 8 B parameters. */
const USUAL_SIZES = {
  software: [[256, 688, 8, 4], [576, 1536, 9, 3]],
  gpu: [[896, 4864, 14, 2], [2048, 8192, 32, 8], [4096, 14336, 32, 8]],
};

/** Tunes what is not yet known (with `force` everything) and remembers it. */
export async function tune(given: Partial<TuneOptions> = {}, hooks: RunHooks = {}): Promise<TuneRow[]> {
  const options = tuneOptions.resolve(given);
  const model = await openModel(options.model ?? (await materializeDefault(BUILT_IN_COPY)).model, hooks);
  model.directory.close();
  return await withAdapter(hooks, async (gpu) => {
    const notice = (text: string) => hooks.onEvent?.({ type: "notice", text });
    const usual = options.model === undefined ? usualModels(gpu) : [];
    const all = allClasses(gpu, [model.config, ...usual], options);
    const path = cachePath();
    const known = options.force ? {} : await readChoices(gpu, path, notice);
    const classes = all.filter(({ key }) => known[key]?.complete !== true);
    const done = all.length - classes.length;
    if (done > 0) {
      notice(`${done} of ${all.length} problem classes are known already (--force tunes them anew)`);
    }
    const onOutcome = (outcome: Outcome, count: number) =>
      notice(outcomeLine(outcome, `${count}/${classes.length}`));
    const outcomes = await tuneClasses(gpu, classes, { ...hooks, seconds: options.max_seconds, onOutcome });
    const left = classes.length - outcomes.filter(({ complete }) => complete).length;
    if (left > 0) notice(`${left} problem classes are left; call again, or with a larger max_seconds`);
    notice(
      path
        ? `choices are in ${path}`
        : "choices are not kept: the cache directory is unknown or not permitted",
    );
    const fresh = new Set(outcomes.map(({ key }) => key));
    return [
      ...all.flatMap(({ key }) => known[key] && !fresh.has(key) ? knownRows(key, known[key]!) : []),
      ...outcomes.flatMap(rowsOf),
    ];
  });
}

function usualModels(gpu: Gpu): ModelConfig[] {
  return USUAL_SIZES[gpu.adapterClass].map(([hidden, mlp, heads, kvHeads]) =>
    parseModelConfig({
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      hidden_size: hidden,
      intermediate_size: mlp,
      num_hidden_layers: 2,
      num_attention_heads: heads,
      num_key_value_heads: kvHeads,
      vocab_size: 32000,
      rms_norm_eps: 1e-6,
      max_position_embeddings: 4096,
    }, "usual sizes")
  );
}

/** Classes of all work, each once, the costliest first. */
function allClasses(gpu: Gpu, configs: readonly ModelConfig[], options: TuneOptions): WorkClass[] {
  const classes = new Map<string, WorkClass>();
  const add = (work: ModelWork) => {
    for (const found of workClasses(gpu, work)) {
      const before = classes.get(found.key);
      if (!before || before.totalFlops < found.totalFlops) classes.set(found.key, found);
    }
  };
  const compute = options.compute_dtype;
  const budgets = options.token_budget === "auto" ? USUAL_TOKENS : [roundUp8(options.token_budget)];
  for (const config of configs) {
    for (const tokens of budgets) {
      // Completions are half or a quarter of the tokens, or nearly all of them.
      for (const targets of [tokens, tokens / 2, tokens / 4].map(roundUp8)) {
        add({ config, compute, training: true, capacity: { tokens, targets, segments: 64 } });
      }
    }
    const positions = Math.min(config.max_position_embeddings, 512);
    for (const slots of [1, 16]) add({ config, compute, generation: { slots, positions, prefill: 512 } });
  }
  return [...classes.values()].sort((a, b) => b.totalFlops - a.totalFlops);
}

/** Milliseconds of a variant at best, by its name. */
function bestMsOf(timings: Outcome["timings"]): (name: string) => number {
  return (name) => timings.find(({ variant }) => variant === name)?.bestMs ?? NaN;
}

function outcomeLine({ key, choice, fallback, timings }: Outcome, count: string): string {
  const best = bestMsOf(timings);
  const gain = choice === fallback
    ? "the default"
    : `${(best(fallback) / best(choice)).toFixed(2)} x ${fallback}`;
  return `${count}  ${key}: ${choice} (${gain})`;
}

function rowsOf({ key, flops, choice, fallback, timings }: Outcome): TuneRow[] {
  const best = bestMsOf(timings);
  const first = timings[0]!.bestMs;
  return timings.map(({ variant, bestMs, medianMs }) => ({
    key,
    variant,
    best_ms: bestMs,
    median_ms: medianMs,
    gflops: flops / bestMs / 1e6,
    over_first: first / bestMs,
    over_default: best(fallback) / bestMs,
    chosen: variant === choice,
    is_default: variant === fallback,
  }));
}

function knownRows(key: string, { variant, ms, default_ms }: CachedChoice): TuneRow[] {
  return [{
    key,
    variant,
    best_ms: ms,
    median_ms: NaN,
    gflops: NaN,
    over_first: NaN,
    over_default: default_ms / ms,
    chosen: true,
    is_default: false,
  }];
}

/** The rows as a table for people: the choice is marked `*`, the default `d`. */
export function tuneTable(rows: readonly TuneRow[]): string {
  const number = (value: number, digits: number) => Number.isFinite(value) ? value.toFixed(digits) : "";
  const cells = rows.map((row, i) => [
    rows[i - 1]?.key === row.key ? "" : row.key,
    `${row.chosen ? "*" : " "}${row.is_default ? "d" : " "} ${row.variant}`,
    number(row.best_ms, 3),
    number(row.median_ms, 3),
    number(row.gflops, 1),
    number(row.over_first, 2),
    number(row.over_default, 2),
  ]);
  const head = ["class", "   variant", "best ms", "median ms", "GFLOP/s", "x first", "x default"];
  const widths = head.map((title, c) => Math.max(title.length, ...cells.map((row) => row[c]!.length)));
  return [head, ...cells].map((row) =>
    row.map((cell, c) => c < 2 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!)).join("  ").trimEnd()
  ).join("\n");
}
