/**
 * How a micro-batch is computed: how large it may be, and whether its layers' insides are kept or computed again. Both
 * may be left to `auto`; what that comes to is settled before a run's first step, and recorded with it.
 */
import type { BatchShape } from "../data/batch.ts";
import { AUTO_TOKENS } from "../data/plan.ts";
import type { TrainOptions } from "./options.ts";
import type { Packing } from "./reference.ts";

/** The two options, neither of them `auto`. */
export interface MicroBatches {
  /** Tokens of a micro-batch; where it was left to `auto`, more for a row that needs more. */
  readonly token_budget: number;
  /** Whether only each layer's input is kept. */
  readonly gradient_checkpointing: boolean;
}

/** What `auto` comes to where memory is no question: the fastest. */
const USUAL: MicroBatches = { token_budget: AUTO_TOKENS, gradient_checkpointing: false };

type Options = Pick<TrainOptions, keyof MicroBatches | "share_prompt">;

/** The options as they are given, with what `auto` came to where they are left to it. */
function resolveMicroBatches(options: Options, auto: MicroBatches = USUAL): MicroBatches {
  const { token_budget: budget, gradient_checkpointing: checkpointing } = options;
  return {
    token_budget: budget === "auto" ? auto.token_budget : budget,
    gradient_checkpointing: checkpointing === "auto" ? auto.gradient_checkpointing : checkpointing,
  };
}

/** What of a run its micro-batches decide. */
interface Batched {
  readonly packing: Packing;
  readonly microBatches: MicroBatches;
  readonly shapeAt: (tokens: number) => BatchShape;
}

/** How a run of sequences of up to `maxLength` tokens is batched, had `auto` come to this. */
export function batched(
  options: Options,
  { shapeAt, maxLength }: Pick<Batched, "shapeAt"> & Pick<Packing, "maxLength">,
  auto?: MicroBatches,
): Batched {
  const microBatches = resolveMicroBatches(options, auto);
  const shape = shapeAt(microBatches.token_budget);
  return { microBatches, shapeAt, packing: { shape, sharePrompt: options.share_prompt, maxLength } };
}

/** A run, had `auto` come to this. */
export function withMicroBatches<R extends Batched & { readonly options: Options }>(
  run: R,
  auto: MicroBatches,
): R {
  const { options, shapeAt, packing: { maxLength } } = run;
  return { ...run, ...batched(options, { shapeAt, maxLength }, auto) };
}

/** Everything that the options allow `auto` to come to, the fastest first. */
export function* possibleMicroBatches(
  { options, shapeAt }: Pick<Batched, "shapeAt"> & { readonly options: Options },
): Generator<MicroBatches> {
  const { gradient_checkpointing: given } = options;
  // smaller micro-batches cost less time than computing every layer twice (up to 1.35 times)
  for (const gradient_checkpointing of given === "auto" ? [false, true] : [given]) {
    for (const token_budget of budgets(options, shapeAt)) yield { token_budget, gradient_checkpointing };
  }
}

/** 2,048 and its halves, as long as micro-batches become smaller: what the longest row needs stays. */
function* budgets({ token_budget: given }: Options, shapeAt: Batched["shapeAt"]): Generator<number> {
  if (given !== "auto") return yield given;
  let last = Infinity;
  for (let budget = AUTO_TOKENS; budget >= 8; budget /= 2) {
    const { tokens } = shapeAt(budget);
    if (tokens < last) yield budget;
    last = tokens;
  }
}

/** Micro-batches in words. */
export function microBatchesText({ token_budget, gradient_checkpointing }: MicroBatches): string {
  const tokens = `token_budget ${token_budget.toLocaleString("en-US")}`;
  return gradient_checkpointing
    ? `${tokens} and gradient_checkpointing`
    : `${tokens} without gradient_checkpointing`;
}
