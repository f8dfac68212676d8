/** The frame of every page that a task writes, and its parts: one file, no script, no network. */
import { STYLE } from "./style.ts";

/** A page with a title and a body of HTML. */
export function pageHtml(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escape(title)}</h1>
${body}
</body>
</html>
`;
}

/** Numbers side by side, each under its name. */
export function tilesHtml(tiles: readonly (readonly [label: string, value: string])[]): string {
  const items = tiles.map(([label, value]) =>
    `<div><dt>${escape(label)}</dt><dd>${escape(value)}</dd></div>`
  );
  return `<dl class="tiles">${items.join("")}</dl>`;
}

/** A chart under its title; `legend` and `chart` are HTML. */
export function figureHtml(title: string, legend: string, chart: string): string {
  return `<figure><figcaption><b>${
    escape(title)
  }</b> <span class="legend">${legend}</span></figcaption>${chart}</figure>`;
}

/** Charts in a grid. */
export function chartsHtml(figures: readonly string[]): string {
  return `<section class="charts">\n${figures.join("\n")}\n</section>`;
}

/** Keys and values, a row each. */
export function pairsHtml(rows: readonly (readonly [string, string])[]): string {
  const body = rows.map(([key, value]) => `<tr><th>${escape(key)}</th><td>${escape(value)}</td></tr>`);
  return `<div class="wide"><table class="options"><tbody>${body.join("\n")}</tbody></table></div>`;
}

/** A table under its columns' names; `kind` is a class of the style sheet. */
export function tableHtml(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  kind: "samples" | "numbers" = "numbers",
): string {
  const head = columns.map((column) => `<th>${escape(column)}</th>`).join("");
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>`);
  return `<div class="wide"><table class="${kind}"><thead><tr>${head}</tr></thead>
<tbody>${body.join("\n")}</tbody></table></div>`;
}

/** Text as HTML. */
export function escape(text: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replaceAll(/[&<>"']/g, (character) => entities[character]!);
}
