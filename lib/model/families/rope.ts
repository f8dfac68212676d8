/** Reading a configuration's rotary embedding. */
import type { RopeConfig } from "../config.ts";
import { ConfigKeys } from "../config_keys.ts";

/**
 * Transformers 5's `rope_parameters`, or Transformers 4's `rope_theta` and `rope_scaling`. Where a file has both, the
 * latter counts, its own theta or the outer one with it, as in Transformers.
 */
export function parseRope(keys: ConfigKeys, max: number): RopeConfig {
  const scaling = keys.raw.rope_scaling;
  const scaled = typeof scaling === "object" && scaling !== null && Object.keys(scaling).length > 0;
  const key = scaled || keys.raw.rope_parameters === undefined ? "rope_scaling" : "rope_parameters";
  const outer = keys.raw[key] ?? {};
  if (typeof outer !== "object" || Array.isArray(outer)) keys.fail(key, "an object or null");
  const rope = new ConfigKeys(outer as Record<string, unknown>, `${keys.where}, ${key}`);
  const theta = rope.positive("rope_theta", keys.positive("rope_theta", 10000));
  rope.only("partial_rotary_factor", [1, null], "1");
  keys.only("partial_rotary_factor", [1, null], "1");
  const typeKey = "rope_type" in rope.raw ? "rope_type" : "type";
  const type = isUnscaled(rope, typeKey) ? "default" : rope.raw[typeKey] ?? "default";
  if (type !== "default" && type !== "llama3") rope.fail(typeKey, "default, llama3");
  const common = { rope_theta: theta, rope_type: type };
  if (common.rope_type === "default") {
    const stray = Object.values(rope.raw).find((value) => typeof value === "object" && value !== null);
    if (stray) keys.fail(key, "one set of values for all layers");
    const unscaled = { factor: 1, low_freq_factor: 1, high_freq_factor: 1 };
    return { ...common, ...unscaled, rope_type: "default", original_max_position_embeddings: max };
  }
  const stretched = {
    factor: rope.positive("factor"),
    low_freq_factor: rope.positive("low_freq_factor"),
    high_freq_factor: rope.positive("high_freq_factor"),
    original_max_position_embeddings: rope.count("original_max_position_embeddings", max),
  };
  if (stretched.high_freq_factor <= stretched.low_freq_factor) {
    rope.fail("high_freq_factor", `above low_freq_factor, ${stretched.low_freq_factor}`);
  }
  return { ...common, ...stretched, rope_type: "llama3" };
}

/** Stretching by 1, which changes nothing within `max_position_embeddings`. */
function isUnscaled(rope: ConfigKeys, typeKey: string): boolean {
  return ["linear", "dynamic"].includes(rope.raw[typeKey] as string) && rope.raw.factor === 1;
}
