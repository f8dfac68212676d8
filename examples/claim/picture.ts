/** The picture: the policy's margin of every test pair against the reference's, before and after, for each method. */

/** One method's panel. */
export interface Panel {
  readonly title: string;
  readonly K: readonly number[];
  /** After training; before it a margin is K itself. */
  readonly margins: readonly number[];
}

const WIDTH = 300, HEIGHT = 260, LEFT = 40, BOTTOM = 34, TOP = 26, RIGHT = 10;

/** Panels side by side, three in a row, as one SVG. */
export function marginPicture(panels: readonly Panel[]): string {
  const all = panels.flatMap(({ K, margins }) => [...K, ...margins]).toSorted((a, b) => a - b);
  const at = (share: number) => all[Math.round(share * (all.length - 1))]!;
  // one scale for all; the outermost 1 % is drawn at the edge
  const xs = panels.flatMap(({ K }) => K);
  const range = {
    x: [Math.floor(Math.min(...xs)), Math.ceil(Math.max(...xs))] as const,
    y: [Math.floor(at(0.005)), Math.ceil(at(0.995))] as const,
  };
  const rows = Math.ceil(panels.length / 3);
  const drawn = panels.map((panel, i) =>
    `<g transform="translate(${(i % 3) * WIDTH} ${Math.floor(i / 3) * HEIGHT})">${panelSvg(panel, range)}</g>`
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${3 * WIDTH} ${
    rows * HEIGHT + 24
  }" font-family="sans-serif">
<rect width="100%" height="100%" fill="#fff"/>
${drawn.join("\n")}
<g transform="translate(${LEFT} ${rows * HEIGHT + 12})" font-size="11" fill="#333">
<circle cx="4" cy="-3" r="2.5" fill="#9a9a9a"/><text x="12">before (margin = K)</text>
<circle cx="144" cy="-3" r="2.5" fill="#1f6fb2"/><text x="152">after, K &gt; 0</text>
<circle cx="244" cy="-3" r="2.5" fill="#d1602a"/><text x="252">after, K &lt; 0</text>
<line x1="338" x2="358" y1="-3" y2="-3" stroke="#222" stroke-width="1.5"/><text x="364">softplus(K)</text>
</g>
</svg>
`;
}

type Range = { readonly x: readonly [number, number]; readonly y: readonly [number, number] };

function panelSvg({ title, K, margins }: Panel, range: Range): string {
  const scale = ([low, high]: readonly [number, number], from: number, to: number) => (value: number) =>
    from + (Math.min(high, Math.max(low, value)) - low) / (high - low) * (to - from);
  const x = scale(range.x, LEFT, WIDTH - RIGHT), y = scale(range.y, HEIGHT - BOTTOM, TOP);
  // a path of points without length, drawn by its round ends: a tenth of what circles take
  const dots = (points: readonly (readonly [number, number])[], colour: string, opacity: number) => {
    const d = points.map(([k, margin]) => `M${x(k).toFixed(1)} ${y(margin).toFixed(1)}h0`).join("");
    return `<path d="${d}" stroke="${colour}" stroke-width="3.2" stroke-opacity="${opacity}" stroke-linecap="round"/>`;
  };
  const after = K.map((k, i) => [k, margins[i]!] as const);
  const drawn = [
    dots(K.map((k) => [k, k] as const), "#9a9a9a", 0.5),
    dots(after.filter(([k]) => k > 0), "#1f6fb2", 0.6),
    dots(after.filter(([k]) => k <= 0), "#d1602a", 0.6),
  ];
  const steps = Array.from({ length: 61 }, (_, i) => range.x[0] + (range.x[1] - range.x[0]) * i / 60);
  const curve = steps.map((k) => `${x(k).toFixed(1)},${y(softplus(k)).toFixed(1)}`).join(" ");
  const marks = (axis: readonly [number, number]) => {
    const step = Math.max(1, Math.ceil((axis[1] - axis[0]) / 6));
    return Array.from({ length: axis[1] - axis[0] + 1 }, (_, i) => axis[0] + i).filter((v) => v % step === 0);
  };
  const xTicks = marks(range.x).map((v) =>
    `<text x="${x(v)}" y="${HEIGHT - BOTTOM + 13}" text-anchor="middle">${v}</text>`
  );
  const yTicks = marks(range.y).map((v) =>
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(v)}" y2="${y(v)}" stroke="#e5e5e5"/>` +
    `<text x="${LEFT - 5}" y="${y(v) + 3}" text-anchor="end">${v}</text>`
  );
  return `<g font-size="9" fill="#555">${xTicks.join("")}${yTicks.join("")}
<text x="${WIDTH - RIGHT}" y="${HEIGHT - 6}" text-anchor="end">K (nats per token)</text>
<text x="4" y="${TOP - 4}">margin</text></g>
<text x="${WIDTH / 2}" y="14" font-size="12" text-anchor="middle" fill="#111">${title}</text>
<line x1="${x(0)}" x2="${x(0)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}" stroke="#ccc"/>
${drawn.join("")}
<polyline points="${curve}" fill="none" stroke="#222" stroke-width="1.5"/>`;
}

function softplus(k: number): number {
  return Math.max(k, 0) + Math.log1p(Math.exp(-Math.abs(k)));
}
