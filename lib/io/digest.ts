/**
 * SHA-256 of files, piece by piece, and JSON files that carry their own.
 */
import { InputError } from "../errors.ts";
import { isFile, openFile, readBytes } from "./files.ts";
import { writeWhole } from "./whole.ts";

/** A digest that is fed piece by piece. */
export interface Hasher {
  update(bytes: Uint8Array): unknown;
  digest(encoding: "hex"): string;
}

/** A SHA-256 that nothing has been fed to yet. */
export async function sha256(): Promise<Hasher> {
  const { createHash } = await import("node:crypto");
  return createHash("sha256");
}

const PIECE_BYTES = 1 << 24;

/** A file's size and SHA-256 in hexadecimal. */
export interface FileDigest {
  readonly size: number;
  readonly sha256: string;
}

/** Reads a file through and digests it; `wanted` says what it should be. */
export async function digestFile(path: string, wanted = "a file"): Promise<FileDigest> {
  const hasher = await sha256();
  const file = await openFile(path, wanted);
  const piece = new Uint8Array(Math.min(PIECE_BYTES, file.sizeBytes));
  for (let done = 0; done < file.sizeBytes; done += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, file.sizeBytes - done));
    await file.fill(done, part);
    hasher.update(part);
  }
  return { size: file.sizeBytes, sha256: hasher.digest("hex") };
}

/** How a sealed file ends: the digest of its bytes as they are with this value empty. */
const seal = (digest: string) => `"sha256": "${digest}"\n}\n`;
const SEAL_BYTES = seal("0".repeat(64)).length;

/** Writes an object as JSON with a digest over every byte of the text. */
export async function writeSealed(path: string, value: Readonly<Record<string, unknown>>): Promise<void> {
  const open = JSON.stringify({ ...value, sha256: "" }, null, 2).slice(0, -`"sha256": ""\n}`.length);
  await writeWhole(path, open + seal(await digestUnsealed(new TextEncoder().encode(open))));
}

async function digestUnsealed(open: Uint8Array): Promise<string> {
  const hasher = await sha256();
  hasher.update(open);
  hasher.update(new TextEncoder().encode(seal("")));
  return hasher.digest("hex");
}

/**
 * Reads what {@link writeSealed} wrote.
 *
 * @throws {InputError} where a single bit is not as it was written; `purpose` says what it holds, `advice` what to do
 */
export async function readSealed(
  path: string,
  { purpose, advice }: { readonly purpose: string; readonly advice: string },
): Promise<Record<string, unknown>> {
  if (!await isFile(path)) {
    throw new InputError(`${path}: no such file; ${purpose} was expected there. ${advice}`);
  }
  const bytes = await readBytes(path);
  const open = bytes.subarray(0, -SEAL_BYTES);
  const end = new TextDecoder().decode(bytes.subarray(-SEAL_BYTES));
  if (end !== seal(await digestUnsealed(open))) {
    throw new InputError(
      `${path}: ${purpose}, but its bytes are not those that its digest (sha256, at its end) was made of: ` +
        `the file is damaged, or was edited. ${advice}`,
    );
  }
  return JSON.parse(new TextDecoder().decode(bytes));
}
