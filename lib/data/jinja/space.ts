/** What Python takes for white space: `str.isspace`, `strip()`, `\s`. (Not what JavaScript does: U+FEFF, U+001C.) */

/** As the inside of a character class. */
export const SPACES = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const AT_START = new RegExp(`^[${SPACES}]+`), AT_END = new RegExp(`[${SPACES}]+$`);

export function trimStart(text: string): string {
  return text.replace(AT_START, "");
}

export function trimEnd(text: string): string {
  // The expression alone would try every run of blanks in the text.
  let end = text.length;
  while (end > 0 && AT_END.test(text[end - 1])) end--;
  return text.slice(0, end);
}
