/**
 * The kernels' text templates: WGSL with unrolled loops and variants spelled out by four line directives.
 *
 * ```text
 * #include name A=B      another kernel text, by its name in the registry, with more constants: an expression's value,
 *                        or where B is one word that is no constant, that word
 * #for i in 0..TILE      the lines up to #end, once for each i, with `i` usable in expressions
 * #if VEC == 4           the lines up to #else or #end, where the expression is not 0
 * let a${i} = x[${i * 4 + 1}];     an expression's value, or a string constant's text
 * ```
 *
 * Expressions are whole-number arithmetic over the constants: `+ - * / %`, comparisons, `&& || !`, parentheses; `/`
 * rounds down.
 */

/** Values for the names in a template. A string can only be inserted, not computed with. */
export type Constants = Readonly<Record<string, number | boolean | string>>;

type Scope = Record<string, number | string>;

const PRECEDENCE: Record<string, number> = {
  "||": 1,
  "&&": 2,
  "==": 3,
  "!=": 3,
  "<": 4,
  ">": 4,
  "<=": 4,
  ">=": 4,
  "+": 5,
  "-": 5,
  "*": 6,
  "/": 6,
  "%": 6,
};

const OPERATIONS: Record<string, (a: number, b: number) => number> = {
  "||": (a, b) => a || b ? 1 : 0,
  "&&": (a, b) => a && b ? 1 : 0,
  "==": (a, b) => a === b ? 1 : 0,
  "!=": (a, b) => a !== b ? 1 : 0,
  "<": (a, b) => a < b ? 1 : 0,
  ">": (a, b) => a > b ? 1 : 0,
  "<=": (a, b) => a <= b ? 1 : 0,
  ">=": (a, b) => a >= b ? 1 : 0,
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => Math.floor(a / b),
  "%": (a, b) => a % b,
};

/** Evaluates one expression by precedence climbing. */
export function evaluate(text: string, scope: Readonly<Scope>): number {
  const tokens = text.match(/[A-Za-z_]\w*|\d+|\|\||&&|[=!<>]=|[-+*/%()<>!]/g) ?? [];
  let at = 0;
  const fail = (what: string): never => {
    throw new SyntaxError(`Kernel template: ${what} in "${text}".`);
  };
  function atom(): number {
    const token = tokens[at++];
    if (token === undefined) return fail("an operand is missing");
    if (token === "(") {
      const value = binary(1);
      if (tokens[at++] !== ")") fail("a closing parenthesis is missing");
      return value;
    }
    if (token === "!") return atom() ? 0 : 1;
    if (token === "-") return -atom();
    if (/^\d/.test(token)) return Number(token);
    const value = scope[token];
    if (typeof value !== "number") return fail(`the name ${token} has no number`);
    return value;
  }
  function binary(min: number): number {
    let left = atom();
    while (at < tokens.length) {
      const operator = tokens[at]!;
      const level = PRECEDENCE[operator];
      if (level === undefined || level < min) break;
      at++;
      left = OPERATIONS[operator]!(left, binary(level + 1));
    }
    return left;
  }
  const value = binary(1);
  if (at !== tokens.length) fail(`"${tokens[at]}" is out of place`);
  return value;
}

/** Expands a template. `include` gives the text of another kernel by name. */
export function expand(source: string, constants: Constants, include: (name: string) => string): string {
  const scope: Scope = {};
  for (const [name, value] of Object.entries(constants)) {
    scope[name] = typeof value === "boolean" ? Number(value) : value;
  }
  const out: string[] = [];
  expandLines(source.split("\n"), scope, { out, include });
  return out.join("\n");
}

interface Sink {
  readonly out: string[];
  readonly include: (name: string) => string;
}

function expandLines(lines: readonly string[], scope: Scope, sink: Sink): void {
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    const directive = /^\s*#(include|for|if|else|end)\b\s*(.*?)\s*$/.exec(line);
    if (!directive) {
      sink.out.push(interpolate(line, scope));
      continue;
    }
    const [, word, rest] = directive as unknown as [string, string, string];
    if (word === "include") {
      const [name, ...given] = interpolate(rest, scope).split(/\s+/);
      const inner = { ...scope, ...constantsOf(given, scope) };
      expandLines(sink.include(name!).split("\n"), inner, sink);
      continue;
    }
    if (word !== "for" && word !== "if") {
      throw new SyntaxError(`Kernel template: #${word} without its opening.`);
    }
    const { otherwise, end } = matchingEnd(lines, i);
    const first = lines.slice(i + 1, otherwise ?? end);
    const second = otherwise === undefined ? [] : lines.slice(otherwise + 1, end);
    if (word === "if") {
      expandLines(evaluate(rest, scope) ? first : second, scope, sink);
    } else {
      const loop = /^(\w+) in (.+)\.\.(.+)$/.exec(rest);
      if (!loop) throw new SyntaxError(`Kernel template: "#for ${rest}" is not "#for name in from..to".`);
      const to = evaluate(loop[3]!, scope);
      for (let n = evaluate(loop[2]!, scope); n < to; n++) {
        expandLines(first, { ...scope, [loop[1]!]: n }, sink);
      }
    }
    i = end;
  }
}

function constantsOf(given: readonly string[], scope: Readonly<Scope>): Scope {
  return Object.fromEntries(given.map((text) => {
    const [name, value] = text.split("=", 2) as [string, string];
    const word = /^[A-Za-z_]\w*$/.test(value) && !(value in scope);
    return [name, word ? value : evaluate(value, scope)];
  }));
}

function matchingEnd(
  lines: readonly string[],
  start: number,
): { otherwise: number | undefined; end: number } {
  let depth = 0;
  let otherwise: number | undefined;
  for (let i = start; i < lines.length; i++) {
    const word = /^\s*#(for|if|else|end)\b/.exec(lines[i]!)?.[1];
    if (word === "for" || word === "if") depth++;
    else if (word === "else" && depth === 1) otherwise = i;
    else if (word === "end" && --depth === 0) return { otherwise, end: i };
  }
  throw new SyntaxError(`Kernel template: "${lines[start]!.trim()}" has no #end.`);
}

function interpolate(line: string, scope: Readonly<Scope>): string {
  return line.replace(/\$\{([^}]*)\}/g, (_, expression: string) => {
    const value = scope[expression.trim()];
    return typeof value === "string" ? value : String(evaluate(expression, scope));
  });
}
