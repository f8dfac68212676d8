/** FNV-1a over a text's UTF-8, in 8 hex digits: how goldens keep long results short. */
export function fnv(text: string): string {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193);
  return (value >>> 0).toString(16).padStart(8, "0");
}
