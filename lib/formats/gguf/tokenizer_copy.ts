/**
 * The tokenizer of one GGUF file for another, as it stands: its scores and its pre-tokenizer's name are in no other form.
 */
import type { GgufHeader, MetadataValue } from "./header.ts";
import { bool, type MetadataEntry, numbers, text, texts, type TypedValue, u32 } from "./write.ts";

/** All that a file says of its tokenizer, the chat templates included. */
export function tokenizerEntries({ metadata }: GgufHeader): MetadataEntry[] {
  return [...metadata].flatMap(([key, value]) => {
    const typed = key.startsWith("tokenizer.") ? typedValue(key, value) : undefined;
    return typed ? [[key, typed] as const] : [];
  });
}

/** A reader gives values without the types that they were written in; the keys tell. */
function typedValue(key: string, value: MetadataValue): TypedValue | undefined {
  if (typeof value === "string") return text(value);
  if (typeof value === "boolean") return bool(value);
  if (typeof value === "number") return key.endsWith("_token_id") ? u32(value) : undefined;
  if (!Array.isArray(value)) return undefined;
  if (value.every((item): item is string => typeof item === "string")) return texts(value);
  if (key === "tokenizer.ggml.scores") return numbers("f32", value as number[]);
  return key === "tokenizer.ggml.token_type" ? numbers("i32", value as number[]) : undefined;
}
