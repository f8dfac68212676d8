/**
 * Git LFS pointers: the few lines that stand for a file in a clone that was made without git-lfs.
 *
 * Source: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
 */
import { InputError } from "../errors.ts";

const START = "version https://git-lfs.github.com/";

/** Pointers are smaller than this. */
export const LARGEST_POINTER = 1024;

/** Whether a file that begins so is a pointer. */
export function isLfsPointer(head: Uint8Array | string): boolean {
  const text = typeof head === "string"
    ? head
    : new TextDecoder("latin1").decode(head.subarray(0, START.length));
  return text.startsWith(START);
}

/** What is said of one. */
export function lfsPointerError(path: string, wanted: string): InputError {
  return new InputError(
    `${path}: is a git-lfs pointer, not the file itself; ${wanted} was expected. ` +
      "Fetch it with `git lfs pull`, or download it from the hub.",
  );
}
