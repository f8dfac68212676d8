/** Reading a configuration's rotary embedding. */
import type { RopeConfig } from "../config.ts";
import { ConfigKeys } from "../config_keys.ts";

/** Transformers 5's `rope_parameters`, or Transformers 4's `rope_theta` and `rope_scaling`. */
export function parseRope(keys: ConfigKeys): RopeConfig {
  const outer = keys.raw.rope_parameters ?? keys.raw.rope_scaling ?? {};
  const key = keys.raw.rope_parameters ? "rope_parameters" : "rope_scaling";
  if (typeof outer !== "object" || Array.isArray(outer)) keys.fail(key, "an object or null");
  const rope = new ConfigKeys(outer as Record<string, unknown>, `${keys.where}, ${key}`);
  const theta = rope.positive("rope_theta", keys.positive("rope_theta", 10000));
  rope.only("partial_rotary_factor", [1, null], "1");
  keys.only("partial_rotary_factor", [1, null], "1");
  const typeKey = "rope_type" in rope.raw ? "rope_type" : "type";
  rope.only(typeKey, ["default", "llama3", null], "default, llama3");
  const common = { rope_theta: theta, rope_type: rope.raw[typeKey] ?? "default" };
  if (common.rope_type === "default") {
    const stray = Object.values(rope.raw).find((value) => typeof value === "object" && value !== null);
    if (stray) keys.fail(key, "one set of values for all layers");
    const max = keys.count("max_position_embeddings");
    const unscaled = { factor: 1, low_freq_factor: 1, high_freq_factor: 1 };
    return { ...common, ...unscaled, rope_type: "default", original_max_position_embeddings: max };
  }
  const scaled = {
    factor: rope.positive("factor"),
    low_freq_factor: rope.positive("low_freq_factor"),
    high_freq_factor: rope.positive("high_freq_factor"),
    original_max_position_embeddings: rope.count("original_max_position_embeddings"),
  };
  if (scaled.high_freq_factor <= scaled.low_freq_factor) {
    rope.fail("high_freq_factor", `above low_freq_factor, ${scaled.low_freq_factor}`);
  }
  return { ...common, ...scaled, rope_type: "llama3" };
}
