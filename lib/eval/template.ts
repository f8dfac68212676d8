/** Filling a judge's prompt in. */

/** Puts values in the place of `{name}`, in one pass: braces inside a value stay as they are. */
export function fillTemplate(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
}
