/**
 * Paths as text: what one lies in, what it is called.
 */

/** A path without slashes at its end; the root stays. */
export function trimSlashes(path: string): string {
  return path.replace(/(.)[/\\]+$/, "$1");
}

/** What a path lies in; the working directory for a bare name, the root for itself. */
export function parentOf(path: string): string {
  const bare = trimSlashes(path);
  const slash = lastSlash(bare);
  if (slash < 0) return ".";
  return slash === 0 ? bare.slice(0, 1) : bare.slice(0, slash);
}

/** A path's last part. */
export function nameOf(path: string): string {
  const bare = trimSlashes(path);
  return bare.slice(lastSlash(bare) + 1);
}

function lastSlash(path: string): number {
  return Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
}
