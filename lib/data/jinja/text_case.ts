/**
 * Upper and lower case, and kinds of characters, as Python has them.
 */

export function capitalize(text: string): string {
  const [first = "", ...rest] = text;
  return titleCase(first) + rest.join("").toLowerCase();
}

/** One character as the first of a title: `ß` becomes `Ss`. */
function titleCase(char: string): string {
  const [first = "", ...rest] = char.toUpperCase();
  return first + rest.join("").toLowerCase();
}

export function title(text: string): string {
  let out = "", inWord = false;
  for (const char of text) {
    out += inWord ? char.toLowerCase() : titleCase(char);
    inWord = /[\p{L}\p{Nl}]/u.test(char) && char.toLowerCase() !== char.toUpperCase();
  }
  return out;
}

export function swapCase(text: string): string {
  return [...text].map((char) => char === char.toLowerCase() ? char.toUpperCase() : char.toLowerCase()).join(
    "",
  );
}

const LOWER = /\p{Lowercase}/u, UPPER = /\p{Uppercase}/u, TITLE = /\p{Lt}/u;

export const isLower = (text: string): boolean => LOWER.test(text) && !UPPER.test(text) && !TITLE.test(text);
export const isUpper = (text: string): boolean => UPPER.test(text) && !LOWER.test(text) && !TITLE.test(text);
export const isTitle = (text: string): boolean =>
  text === title(text) && (UPPER.test(text) || TITLE.test(text));

/** What every character of a text must be, by the name of the method that asks. */
export const KINDS: Readonly<Record<string, RegExp>> = {
  isalnum: /^[\p{L}\p{N}]$/u,
  isalpha: /^\p{L}$/u,
  isdecimal: /^\p{Nd}$/u,
  isdigit: new RegExp(
    "^[\\p{Nd}\\xb2\\xb3\\xb9\\u1369-\\u1371\\u19da\\u2070\\u2074-\\u2079\\u2080-\\u2089\\u2460-\\u2468\\u2474-\\u247c" +
      "\\u2488-\\u2490\\u24ea\\u24f5-\\u24fd\\u24ff\\u2776-\\u277e\\u2780-\\u2788\\u278a-\\u2792]$",
    "u",
  ),
  isnumeric: /^\p{N}$/u,
};
