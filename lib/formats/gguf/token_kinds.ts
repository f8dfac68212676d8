/**
 * What a GGUF file says of its tokens and templates, for reading and for writing.
 */

/** Kinds of tokens by ggml's numbers. */
export const Kind = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** The key of the chat template; behind it and a dot the names of others. */
export const CHAT_TEMPLATE = "tokenizer.chat_template";
/** The template of conversations with tools. */
export const TOOL_USE = "tool_use";
