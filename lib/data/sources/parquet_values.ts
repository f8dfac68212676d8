/**
 * What Parquet stores as plain data, such as JSON would hold it: so that a template writes the same from either.
 */

const decoder = new TextDecoder("utf-8", { fatal: true });

/** How hyparquet turns bytes into text: those that are none stay bytes, for a column that nobody reads may hold any. */
export const textParsers = {
  stringFromBytes(bytes: Uint8Array | undefined): unknown {
    if (!bytes) return bytes;
    try {
      return decoder.decode(bytes);
    } catch {
      return bytes.slice();
    }
  },
};

/** A row with plain values. Within a column, keys that are null go: Parquet gives every struct of a column every key. */
export function plainRow(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [key, plain(value) ?? null]));
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array) return value; // bytes that are no text
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(value as never, plain);
  if (Array.isArray(value)) return value.map((entry) => plain(entry) ?? null);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).flatMap(([key, entry]) => {
    const known = plain(entry);
    return known === null || known === undefined ? [] : [[key, known] as const];
  });
  return Object.fromEntries(kept);
}
