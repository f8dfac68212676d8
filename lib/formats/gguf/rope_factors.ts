/**
 * Llama 3's scaled rotary frequencies as ggml has them: one factor per pair of a head's dimensions.
 */

/** What the factors follow from, under Hugging Face's keys. */
export interface Llama3Scaling {
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  /** Tokens. */
  readonly original_max_position_embeddings: number;
  readonly theta: number;
  readonly headSize: number;
}

/** By how much each frequency is divided: 1 for short waves, `factor` for long ones, a ramp between. */
export function llama3Factors(
  { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings, theta, headSize }:
    Llama3Scaling,
): number[] {
  return Array.from({ length: headSize / 2 }, (_, i) => {
    const wave = 2 * Math.PI * theta ** (2 * i / headSize);
    const share = (original_max_position_embeddings / wave - low_freq_factor) /
      (high_freq_factor - low_freq_factor);
    if (share >= 1) return 1;
    return share <= 0 ? factor : 1 / ((1 - share) / factor + share);
  });
}
