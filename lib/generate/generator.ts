/**
 * Generation: many prompts, a few slots, tokens fed back on the GPU.
 *
 * Steps are submitted in blocks without a wait in between, since a wait costs as much as several tokens; after a block
 * the tokens are read, and finished slots go to waiting prompts.
 */
import { roundUp8 } from "../data/batch.ts";
import { packPrompts } from "../data/prompts.ts";
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { Plan } from "../gpu/plan.ts";
import { Prepared } from "../gpu/prepared.ts";
import { Recorder } from "../gpu/recorder.ts";
import { readBytes, writeTensor } from "../gpu/tensor.ts";
import {
  cacheRowBytes,
  createDecoder,
  createPromptTensors,
  type Decoder,
  destroyDecoder,
  destroyPromptTensors,
  type PromptTensors,
  recordDecodeStep,
  recordPrefill,
  writePrompts,
} from "../model/decoder.ts";
import { type ParamStore, withPrecision } from "../model/params.ts";
import { isTrained } from "../model/shards.ts";
import { STATE_HEADER } from "../ops/decode.ts";
import { powerOfTwo } from "../ops/grid.ts";
import { MAX_END_TOKENS, type SamplingOptions, samplingSettings } from "../ops/sample.ts";
import { blockLength, MAX_BLOCK } from "./block_length.ts";

/** How prompts are continued. */
export interface GeneratorOptions extends SamplingOptions {
  /** Tokens of a completion at most; fewer where the generator's positions end before. */
  readonly maxNewTokens: number;
  /** Told after every block how many prompts are finished. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Told after every block what a prompt's new tokens are so far; returns how many of them to keep, to end it there. */
  readonly onTokens?: (prompt: number, tokens: readonly number[]) => number | undefined;
  /** Ends with an AbortError after the block at hand. */
  readonly signal?: AbortSignal;
}

/** One prompt's continuation. */
export interface Generated {
  /** New tokens; an end token, where one came, is the last. */
  readonly tokens: number[];
  /** `stop`: an end token came. `length`: there was no more room. */
  readonly finishReason: "stop" | "length";
}

/** Prompt tokens computed at a time, where no single prompt is longer. */
const PREFILL_TOKENS = 512;

/** Images or bf16 copies of the weights are kept where they take no more than this. */
const FORMS_BYTES = 2 ** 30;

/** A sequence in a slot. */
interface Sequence {
  readonly prompt: number;
  readonly tokens: number[];
  /** Positions in the cache. */
  length: number;
  /** The token to be processed next. */
  last: number;
  left: number;
}

/** A sealed step, and how long it takes at best; unknown before the first block. */
interface StepPlan {
  readonly plan: Plan;
  milliseconds: number | undefined;
}

/** See the module's description. Trained weights are read as they are when `generate` is called, others at its first call. */
export class Generator {
  #plans = new Map<string, StepPlan>();
  #prefill: { plan: Plan; prompts: PromptTensors; capacity: number } | undefined;
  /** The weights as the products read them; while some are trained, made anew for every `generate`. */
  #forms: Prepared | undefined;

  private constructor(
    readonly gpu: Gpu,
    readonly decoder: Decoder,
    formsBytes: number,
  ) {
    const { shards } = decoder.params;
    const bytes = shards.reduce((sum, { param }) => sum + param.sizeBytes, 0);
    // GPUs keep packed bf16 at most; software adapters float32 images, or bf16 ones for prompts and for single tokens.
    if (bytes / (gpu.adapterClass === "gpu" ? 2 : 1) <= formsBytes) this.#forms = new Prepared(gpu);
  }

  /**
   * Allocates caches.
   *
   * @param size.slots Sequences at a time; fewer where the adapter cannot bind so large a cache.
   * @param size.positions Tokens of prompt and completion together, at most.
   * @param size.compute What matrix products round their inputs to: prompts both, single tokens the weights.
   * @param size.formsBytes How much images or bf16 copies of the weights may take; beyond it there are none, which is
   *   slower.
   */
  // deno-lint-ignore require-await -- creating may come to compile kernels
  static async create(
    gpu: Gpu,
    params: ParamStore,
    { slots, positions, compute = "f32", formsBytes = FORMS_BYTES }: {
      slots: number;
      positions: number;
      compute?: "f32" | "bf16";
      formsBytes?: number | undefined;
    },
  ): Promise<Generator> {
    const binding = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
    const max = Math.max(1, Math.floor(binding / cacheRowBytes(params.config, positions)));
    const size = { slots: Math.min(slots, max), positions, block: MAX_BLOCK };
    return new Generator(gpu, createDecoder(gpu, withPrecision(params, compute), size), formsBytes);
  }

  /** Continues every prompt (lists of token ids); results in the order of the prompts. */
  async generate(
    prompts: readonly (readonly number[])[],
    options: GeneratorOptions,
  ): Promise<Generated[]> {
    this.#check(prompts, options);
    const { gpu, decoder } = this;
    const results = prompts.map((): Generated => ({ tokens: [], finishReason: "length" }));
    if (prompts.length === 0 || options.maxNewTokens === 0) return results;
    writeTensor(gpu, decoder.settings, samplingSettings(options));
    if (this.decoder.params.shards.some(isTrained)) this.#forms?.submit();
    const slots = this.#slotsFor(prompts.length);
    const step = await this.#stepPlan(slots, options.temperature === 0);
    const sequences = new Array<Sequence | undefined>(slots).fill(undefined);
    let next = 0;
    let done = 0;
    for (let steps = 0; done < prompts.length;) {
      options.signal?.throwIfAborted();
      const started: { slot: number; tokens: readonly number[] }[] = [];
      for (let slot = 0; slot < slots && next < prompts.length; slot++) {
        if (sequences[slot]) continue;
        sequences[slot] = this.#begin(prompts[next]!, next++, options);
        started.push({ slot, tokens: prompts[sequences[slot]!.prompt]!.slice(0, -1) });
      }
      await this.#fill(started.filter(({ tokens }) => tokens.length > 0));
      const count = blockLength({
        left: sequences.flatMap((sequence) => sequence ? [sequence.left] : []),
        milliseconds: step.milliseconds,
        steps,
        waiting: next < prompts.length,
        watched: options.onTokens !== undefined,
      });
      const start = performance.now();
      await this.#run(step.plan, sequences, count);
      // The first block may come to compile kernels: the best block counts.
      const milliseconds = (performance.now() - start) / count;
      step.milliseconds = Math.min(step.milliseconds ?? Infinity, milliseconds);
      steps += count;
      sequences.forEach((sequence, slot) => {
        if (!sequence) return;
        const kept = options.onTokens?.(sequence.prompt, sequence.tokens);
        if (kept !== undefined) sequence.tokens.length = kept;
        const stopped = kept !== undefined ||
          (options.eosIds.includes(sequence.last) && sequence.tokens.length > 0);
        if (!stopped && sequence.left > 0) return;
        results[sequence.prompt] = { tokens: sequence.tokens, finishReason: stopped ? "stop" : "length" };
        sequences[slot] = undefined;
        done++;
      });
      options.onProgress?.(done, prompts.length);
    }
    return results;
  }

  /** Seals what `generate` runs for prompts of these lengths; on a null Gpu this counts what it would allocate. */
  async seal(lengths: readonly number[], { greedy }: { greedy: boolean }): Promise<void> {
    const slots = this.#slotsFor(lengths.length);
    await this.#stepPlan(slots, greedy);
    // of more prompts than slots, any may come to be computed together
    const largest = lengths.map((length) => length - 1).filter((length) => length > 0).sort((a, b) => b - a);
    if (largest.length > 0) await this.#prefillFor(largest.slice(0, slots));
  }

  #slotsFor(prompts: number): number {
    return Math.min(this.decoder.size.slots, powerOfTwo(prompts));
  }

  /** Frees everything but the parameters. */
  destroy(): void {
    for (const { plan } of this.#plans.values()) plan.destroy();
    this.#plans.clear();
    this.#dropPrefill();
    this.#forms?.destroy();
    destroyDecoder(this.decoder);
  }

  #check(prompts: readonly (readonly number[])[], { eosIds, maxNewTokens }: GeneratorOptions): void {
    const { config } = this.decoder.params;
    const { positions } = this.decoder.size;
    prompts.forEach((prompt, i) => {
      if (prompt.length === 0) {
        throw new InputError(`Prompt ${i} has no tokens: there is nothing to continue.`);
      }
      if (prompt.length >= positions && maxNewTokens > 0) {
        throw new InputError(
          `Prompt ${i} has ${prompt.length} tokens; with at least one new token only ${positions} positions are ` +
            "there. Shorten the prompt.",
        );
      }
      const wrong = prompt.find((id) => !(Number.isInteger(id) && id >= 0 && id < config.vocab_size));
      if (wrong !== undefined) {
        throw new InputError(
          `Prompt ${i} holds the token ${wrong}; the model knows 0 to ${config.vocab_size - 1}.`,
        );
      }
    });
    if (eosIds.length > MAX_END_TOKENS) {
      throw new InputError(`${eosIds.length} end tokens are given; at most ${MAX_END_TOKENS} are possible.`);
    }
  }

  #begin(tokens: readonly number[], prompt: number, { maxNewTokens }: GeneratorOptions): Sequence {
    const left = Math.min(maxNewTokens, this.decoder.size.positions - tokens.length);
    return { prompt, tokens: [], length: tokens.length - 1, last: tokens.at(-1)!, left };
  }

  /** Submits `count` steps, reads what they wrote and brings the sequences up to date. */
  async #run(plan: Plan, sequences: (Sequence | undefined)[], count: number): Promise<void> {
    const { gpu, decoder } = this;
    const row = STATE_HEADER + decoder.size.block;
    const state = new Uint32Array(sequences.length * row);
    sequences.forEach((sequence, slot) => {
      if (!sequence) return;
      const { last, length, left, prompt } = sequence;
      state.set([last, length, left, prompt, 1, 0], slot * row);
    });
    writeTensor(gpu, decoder.state, state);
    for (let i = 0; i < count; i++) plan.submit();
    const after = new Uint32Array(await readBytes(gpu, decoder.state));
    sequences.forEach((sequence, slot) => {
      if (!sequence) return;
      const [last = 0, length = 0, left = 0, , , written = 0] = after.subarray(slot * row, slot * row + 6);
      if (last >= decoder.params.config.vocab_size) {
        throw new InputError(
          `Prompt ${sequence.prompt}, token ${sequence.tokens.length + written}: no logit is finite. ` +
            "The model's weights hold values so large that float32 overflows on the way: check the model.",
        );
      }
      const from = slot * row + STATE_HEADER;
      sequence.tokens.push(...after.subarray(from, from + written));
      Object.assign(sequence, { last, length, left });
    });
  }

  async #stepPlan(slots: number, greedy: boolean): Promise<StepPlan> {
    const key = `${slots} ${greedy}`;
    let step = this.#plans.get(key);
    if (!step) {
      const rec = new Recorder(this.gpu, undefined, { prepared: this.#forms });
      recordDecodeStep(rec, this.decoder, { slots, greedy });
      const plan = await this.#seal(`decode ${slots}`, rec);
      step = { plan, milliseconds: undefined };
      this.#plans.set(key, step);
    }
    return step;
  }

  /** Puts prompts into the cache, as many at a time as fit. */
  async #fill(runs: readonly { slot: number; tokens: readonly number[] }[]): Promise<void> {
    for (let from = 0; from < runs.length;) {
      const rest = runs.slice(from);
      const { plan, prompts, capacity } = await this.#prefillFor(rest.map(({ tokens }) => tokens.length));
      let to = 0;
      for (let used = 0; to < rest.length && used + rest[to]!.tokens.length <= capacity; to++) {
        used += rest[to]!.tokens.length;
      }
      writePrompts(this.gpu, prompts, packPrompts(rest.slice(0, to)));
      plan.submit();
      from += to;
    }
  }

  async #prefillFor(lengths: readonly number[]) {
    const longest = Math.max(...lengths);
    if (this.#prefill && this.#prefill.capacity >= longest) return this.#prefill;
    this.#dropPrefill();
    const total = lengths.reduce((a, b) => a + b, 0);
    const capacity = roundUp8(Math.max(longest, Math.min(total, PREFILL_TOKENS)));
    const prompts = createPromptTensors(this.gpu, capacity);
    const rec = new Recorder(this.gpu, prompts.counts, { prepared: this.#forms });
    recordPrefill(rec, this.decoder, prompts);
    const plan = await this.#seal("prefill", rec);
    return this.#prefill = { plan, prompts, capacity };
  }

  /** Seals a plan, and makes the forms of the weights that it is the first to read. */
  async #seal(name: string, rec: Recorder): Promise<Plan> {
    const plan = await Plan.seal(name, rec);
    const made = await this.#forms?.seal();
    if (this.gpu.device) made?.submit();
    return plan;
  }

  #dropPrefill(): void {
    if (!this.#prefill) return;
    this.#prefill.plan.destroy();
    destroyPromptTensors(this.#prefill.prompts);
    this.#prefill = undefined;
  }
}
