/**
 * The process's surroundings: variables, the cache folder, what may be touched without asking.
 */

/** An environment variable, where it is set (not empty) and may be read without asking. */
export function environment(name: string): string | undefined {
  if (typeof Deno === "undefined") return undefined;
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) || undefined : undefined;
}

/** Bytes of this machine's memory, used or not; undefined where the system may not be asked for it. */
export function machineMemory(): number | undefined {
  if (typeof Deno === "undefined") return undefined;
  const { state } = Deno.permissions.querySync({ name: "sys", kind: "systemMemoryInfo" });
  return state === "granted" ? Deno.systemMemoryInfo().total : undefined;
}

/** Where this library keeps what later runs may use: `MIPO_CACHE`, else `mipo` in the system's place for caches. */
export function cacheFolder(): string | undefined {
  if (typeof Deno === "undefined") return undefined;
  const own = environment("MIPO_CACHE");
  if (own) return own;
  const under = (base: string | undefined, path: string) => base ? `${base}/${path}` : undefined;
  if (Deno.build.os === "windows") return under(environment("LOCALAPPDATA"), "mipo");
  if (Deno.build.os === "darwin") return under(environment("HOME"), "Library/Caches/mipo");
  return under(environment("XDG_CACHE_HOME"), "mipo") ?? under(environment("HOME"), ".cache/mipo");
}

/** Whether a path may be read and written without asking. */
export function mayUse(path: string): boolean {
  return (["read", "write"] as const).every((name) =>
    Deno.permissions.querySync({ name, path }).state === "granted"
  );
}
