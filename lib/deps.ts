// deno-lint-ignore-file no-import-prefix -- a module imported by URL does not see this repository's import map
/**
 * The library's only file with package specifiers: everything from outside enters here, pinned.
 */
export * as z from "npm:zod@4.6.7";
export { Tokenizer } from "npm:@huggingface/tokenizers@0.2.0";
export { Template } from "npm:@huggingface/jinja@0.5.11";
