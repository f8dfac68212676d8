/**
 * What computed a run, for its `config.json`.
 */

/** This library's version; that of the runtime where it is known. */
export const VERSIONS: Readonly<Record<string, string>> = {
  mipo: "0.1.0",
  ...(typeof Deno === "undefined" ? {} : { deno: Deno.version.deno, v8: Deno.version.v8 }),
};
