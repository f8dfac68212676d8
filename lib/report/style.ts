/** The report's style sheet: one for light and dark, with colours that differ in lightness, too. */
export const STYLE = /* css */ `
:root {
  color-scheme: light dark;
  --paper: #fcfcfb; --ink: #1d1f22; --faint: #6a6f76; --rule: #e2e3e0; --card: #ffffff;
  --series-0: #1f6fb2; --series-1: #d1602a; --series-2: #3a8a4d;
  --series-3: #8a55b5; --series-4: #a58a1c; --series-5: #4d8f93;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181b; --ink: #e7e8e6; --faint: #9aa0a8; --rule: #2e3237; --card: #1d2024;
    --series-0: #6db3ee; --series-1: #f39a62; --series-2: #7ccf8f;
    --series-3: #c39be8; --series-4: #d9c25a; --series-5: #86c9cd;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 76rem;
  background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
}
h1 { font-size: 1.5rem; font-weight: 600; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 2.25rem 0 0.75rem; }
.tiles { display: flex; flex-wrap: wrap; gap: 0.75rem 2.25rem; margin: 0 0 1.5rem; }
.tiles dt { color: var(--faint); font-size: 0.8rem; }
.tiles dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); gap: 1rem; }
figure {
  margin: 0; padding: 0.75rem 0.9rem 0.5rem; background: var(--card);
  border: 1px solid var(--rule); border-radius: 8px;
}
figcaption { font-size: 0.85rem; margin-bottom: 0.3rem; }
figcaption b { font-weight: 600; }
.legend { display: block; min-height: 1.5em; color: var(--faint); }
.key { white-space: nowrap; margin-right: 0.6em; }
.key::before {
  content: ""; display: inline-block; width: 0.9em; height: 3px; margin: 0 0.35em 0.25em 0; background: var(--color);
}
.series-0 { --color: var(--series-0); } .series-1 { --color: var(--series-1); } .series-2 { --color: var(--series-2); }
.series-3 { --color: var(--series-3); } .series-4 { --color: var(--series-4); } .series-5 { --color: var(--series-5); }
svg { display: block; width: 100%; height: auto; }
.line { fill: none; stroke: var(--color); stroke-width: 1.8; stroke-linejoin: round; }
.faint { stroke-width: 1; opacity: 0.3; }
.sparse { stroke-dasharray: 4 4; }
.dot, .bar { fill: var(--color); }
.whisker { stroke: var(--ink); stroke-width: 1.4; }
.grid { stroke: var(--rule); stroke-width: 1; }
.zero { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 3; }
.tick { fill: var(--faint); font: 11px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.88rem; }
th, td {
  text-align: left; vertical-align: top; padding: 0.35rem 0.9rem 0.35rem 0; border-bottom: 1px solid var(--rule);
}
th { font-weight: 500; color: var(--faint); }
.options th { width: 16rem; }
.options td { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
.numbers td { font-variant-numeric: tabular-nums; white-space: nowrap; }
.numbers th { white-space: nowrap; }
.samples td { white-space: pre-wrap; min-width: 14rem; overflow-wrap: anywhere; }
`;
