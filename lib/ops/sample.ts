/**
 * Sampling on the GPU: the next token of every slot from its logits. See `kernels/sample.wgsl`.
 */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

/** How tokens are chosen; as in Transformers. */
export interface SamplingOptions {
  /** 0: greedy, and nothing else applies. */
  readonly temperature: number;
  /** 0: off. */
  readonly topK: number;
  /** 1: off. */
  readonly topP: number;
  /** A whole number below 2³². */
  readonly seed: number;
  /** Tokens that end a sequence, at most `MAX_END_TOKENS`. */
  readonly eosIds: readonly number[];
}

export const MAX_END_TOKENS = 8;

/** Words of the tensor that `samplingSettings` fills. */
export const SETTINGS_WORDS = 16;

/** What the kernel reads: everything that may change without recording a new plan. */
export function samplingSettings(options: SamplingOptions): Uint32Array<ArrayBuffer> {
  const { temperature, topK, topP, seed, eosIds } = options;
  if (eosIds.length > MAX_END_TOKENS) {
    throw new RangeError(
      `Sampling: ${eosIds.length} end tokens are given, at most ${MAX_END_TOKENS} are possible.`,
    );
  }
  const words = new Uint32Array(SETTINGS_WORDS);
  const floats = new Float32Array(words.buffer);
  words[0] = seed;
  words[1] = topK;
  floats[2] = temperature > 0 ? 1 / temperature : 1;
  floats[3] = topP;
  words[4] = eosIds.length;
  words.set(eosIds, 5);
  return words;
}

/**
 * Chooses a token for each active slot from `logits` [B, V] and advances its row of `state` (see `decode.ts`).
 *
 * @param options.greedy The highest logit, the lowest id among equals; `settings` then only gives the end tokens.
 * @param options.group Invocations for a slot, a power of two.
 */
export function sample(
  rec: Recorder,
  { logits, state, settings }: { logits: Tensor; state: Tensor; settings: Tensor },
  options: { greedy: boolean; group?: number },
): void {
  const [B = 0, V = 0] = logits.shape;
  const [slots = 0, row = 0] = state.shape;
  if (B !== slots || settings.shape[0] !== SETTINGS_WORDS) {
    throw new RangeError(
      `sample: logits [${logits.shape}], state [${state.shape}] and settings [${settings.shape}] do not fit.`,
    );
  }
  const VEC = V % 4 === 0 ? 4 : 1;
  const GROUP = options.group ?? (rec.gpu.adapterClass === "software" ? 32 : 256);
  rec.dispatch("sample", {
    bind: { logits, state, settings },
    constants: { VEC, GROUP, FILTER: !options.greedy },
    params: { row, vocabulary: V / VEC },
    grid: [B],
  });
}
