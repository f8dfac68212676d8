// deno-lint-ignore-file no-import-prefix -- a module imported by URL does not see this repository's import map
/**
 * The library's only file with package specifiers: everything from outside enters here, pinned.
 */
export * as z from "npm:zod@4.6.7";

/** Parquet is read by few runs: its cost is paid when one does. */
export async function loadParquet() {
  const [parquet, { parquetHeader }, { compressors }] = await Promise.all([
    import("npm:hyparquet@1.31.5"),
    import("npm:hyparquet@1.31.5/src/column.js"),
    import("npm:hyparquet-compressors@1.1.2"),
  ]);
  return { parquet, parquetHeader, compressors };
}

/** YAML is read only where a config file is written in it. */
export async function loadYaml(): Promise<{ parse(text: string): unknown }> {
  return await import("npm:yaml@2.9.1");
}
