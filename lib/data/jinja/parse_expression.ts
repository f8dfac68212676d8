/**
 * Jinja's expressions, in its order of precedence. Source: jinja2/parser.py.
 */
import type { Args, Expr } from "./ast.ts";
import type { Tokens } from "./tokens.ts";

/** A conditional expression; `conditional` false leaves a following `if` alone. */
export function parseExpression(tokens: Tokens, conditional = true): Expr {
  return conditional ? parseConditional(tokens) : parseOr(tokens);
}

/** Expressions with commas between them are a tuple. */
export function parseTuple(
  tokens: Tokens,
  { conditional = true, parenthesised = false, ends = [] }: {
    conditional?: boolean;
    parenthesised?: boolean;
    ends?: readonly string[];
  } = {},
): Expr {
  const items: Expr[] = [];
  const atEnd = () => tokens.isClose() || tokens.isOperator(")") || tokens.isName(...ends);
  for (;;) {
    if (items.length > 0) tokens.expectOperator(",");
    if (atEnd()) return tupleOf(items);
    items.push(parseExpression(tokens, conditional));
    if (!tokens.isOperator(",")) return items.length === 1 ? items[0] : tupleOf(items);
  }

  function tupleOf(parts: readonly Expr[]): Expr {
    if (parts.length === 0 && !parenthesised) throw tokens.unexpected("an expression");
    return { kind: "tuple", items: parts };
  }
}

function parseConditional(tokens: Tokens): Expr {
  let expr = parseOr(tokens);
  while (tokens.keyword("if")) {
    const test = parseOr(tokens);
    expr = {
      kind: "if",
      test,
      then: expr,
      else: tokens.keyword("else") ? parseConditional(tokens) : undefined,
    };
  }
  return expr;
}

function parseOr(tokens: Tokens): Expr {
  let left = parseAnd(tokens);
  while (tokens.keyword("or")) left = { kind: "or", op: "or", left, right: parseAnd(tokens) };
  return left;
}

function parseAnd(tokens: Tokens): Expr {
  let left = parseNot(tokens);
  while (tokens.keyword("and")) left = { kind: "and", op: "and", left, right: parseNot(tokens) };
  return left;
}

function parseNot(tokens: Tokens): Expr {
  return tokens.keyword("not") ? { kind: "not", of: parseNot(tokens) } : parseCompare(tokens);
}

const COMPARING = ["==", "!=", "<", "<=", ">", ">="];

function parseCompare(tokens: Tokens): Expr {
  const left = parseSum(tokens), rest: [string, Expr][] = [];
  for (;;) {
    const { type, text } = tokens.current;
    if (type === "operator" && COMPARING.includes(text)) {
      tokens.next();
      rest.push([text, parseSum(tokens)]);
    } else if (tokens.keyword("in")) rest.push(["in", parseSum(tokens)]);
    else if (tokens.isName("not") && tokens.ahead.type === "name" && tokens.ahead.text === "in") {
      tokens.next();
      tokens.next();
      rest.push(["not in", parseSum(tokens)]);
    } else break;
  }
  return rest.length === 0 ? left : { kind: "compare", left, rest };
}

/** Operators of one precedence, from the left. */
function chain(tokens: Tokens, operators: readonly string[], operand: (tokens: Tokens) => Expr): Expr {
  let left = operand(tokens);
  while (tokens.current.type === "operator" && operators.includes(tokens.current.text)) {
    left = { kind: "binary", op: tokens.next().text, left, right: operand(tokens) };
  }
  return left;
}

const parseSum = (tokens: Tokens): Expr => chain(tokens, ["+", "-"], parseConcat);

function parseConcat(tokens: Tokens): Expr {
  const items = [parseProduct(tokens)];
  while (tokens.operator("~")) items.push(parseProduct(tokens));
  return items.length === 1 ? items[0] : { kind: "concat", items };
}

const parseProduct = (tokens: Tokens): Expr => chain(tokens, ["*", "/", "//", "%"], parsePower);
const parsePower = (tokens: Tokens): Expr => chain(tokens, ["**"], (inner) => parseUnary(inner));

function parseUnary(tokens: Tokens, filters = true): Expr {
  let expr: Expr;
  if (tokens.isOperator("-") || tokens.isOperator("+")) {
    expr = { kind: "unary", op: tokens.next().text, of: parseUnary(tokens, false) };
  } else expr = parsePrimary(tokens);
  expr = parsePostfix(tokens, expr);
  return filters ? parseFilters(tokens, expr) : expr;
}

const CONSTANTS: Readonly<Record<string, boolean | null>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};

/** A name, literal, or something in brackets. */
export function parsePrimary(tokens: Tokens): Expr {
  const { type, text, value } = tokens.current;
  if (type === "name") {
    tokens.next();
    return Object.hasOwn(CONSTANTS, text)
      ? { kind: "const", value: CONSTANTS[text] }
      : { kind: "name", name: text };
  }
  if (type === "number") {
    tokens.next();
    return { kind: "const", value };
  }
  if (type === "string") {
    let whole = "";
    while (tokens.current.type === "string") whole += tokens.next().value;
    return { kind: "const", value: whole };
  }
  if (tokens.operator("(")) {
    const inner = parseTuple(tokens, { parenthesised: true });
    tokens.expectOperator(")");
    return inner;
  }
  if (tokens.operator("[")) {
    return {
      kind: "list",
      items: parseItems(tokens, "]", () => parseExpression(tokens)),
    };
  }
  if (tokens.operator("{")) {
    const pairs = parseItems(tokens, "}", (): [Expr, Expr] => {
      const key = parseExpression(tokens);
      tokens.expectOperator(":");
      return [key, parseExpression(tokens)];
    });
    return { kind: "dict", pairs };
  }
  throw tokens.unexpected("an expression");
}

function parseItems<T>(tokens: Tokens, end: string, parse: () => T): T[] {
  const items: T[] = [];
  while (!tokens.isOperator(end)) {
    if (items.length > 0) tokens.expectOperator(",");
    if (tokens.isOperator(end)) break;
    items.push(parse());
  }
  tokens.expectOperator(end);
  return items;
}

/** Attributes, elements and calls. */
export function parsePostfix(tokens: Tokens, start: Expr): Expr {
  let expr = start;
  for (;;) {
    if (tokens.operator(".")) {
      const { type, text, value } = tokens.next();
      if (type === "name") expr = { kind: "attribute", of: expr, name: text };
      else if (type === "number") expr = { kind: "item", of: expr, key: { kind: "const", value } };
      else throw tokens.wrong("a name or number was expected behind the dot");
    } else if (tokens.operator("[")) expr = parseSubscript(tokens, expr);
    else if (tokens.isOperator("(")) expr = { kind: "call", of: expr, args: parseArgs(tokens) };
    else return expr;
  }
}

function parseSubscript(tokens: Tokens, of: Expr): Expr {
  if (tokens.isOperator("]")) {
    return { kind: "item", of, key: { kind: "tuple", items: parseItems(tokens, "]", never) } };
  }
  const bounds: (Expr | undefined)[] = [tokens.isOperator(":") ? undefined : parseExpression(tokens)];
  while (bounds.length < 3 && tokens.operator(":")) {
    bounds.push(tokens.isOperator(":") || tokens.isOperator("]") ? undefined : parseExpression(tokens));
  }
  if (bounds.length > 1) {
    tokens.expectOperator("]");
    return { kind: "slice", of, bounds };
  }
  const keys = [bounds[0]!];
  while (tokens.operator(",")) keys.push(parseExpression(tokens));
  tokens.expectOperator("]");
  return { kind: "item", of, key: keys.length === 1 ? keys[0] : { kind: "tuple", items: keys } };
}

function never(): never {
  throw new Error("unreachable");
}

function parseFilters(tokens: Tokens, start: Expr): Expr {
  let expr = start;
  for (;;) {
    if (tokens.isOperator("|")) expr = parseFilter(tokens, expr)!;
    else if (tokens.isName("is")) expr = parseTest(tokens, expr);
    else if (tokens.isOperator("(")) expr = { kind: "call", of: expr, args: parseArgs(tokens) };
    else return expr;
  }
}

/** `|name(…)|name…` on an expression, or (of undefined) on a block's text; `inline`: the first `|` is left out. */
export function parseFilter(tokens: Tokens, start: Expr | undefined, inline = false): Expr | undefined {
  let expr = start;
  for (let bare = inline; bare || tokens.operator("|"); bare = false) {
    const name = parseDotted(tokens), args = tokens.isOperator("(") ? parseArgs(tokens) : NO_ARGS;
    expr = { kind: "filter", of: expr, name, args };
  }
  return expr;
}

function parseDotted(tokens: Tokens): string {
  let name = tokens.expectName();
  while (tokens.operator(".")) name += `.${tokens.expectName()}`;
  return name;
}

function parseTest(tokens: Tokens, of: Expr): Expr {
  tokens.next();
  const negated = tokens.keyword("not"), name = parseDotted(tokens);
  let args = NO_ARGS;
  const { type, text } = tokens.current;
  if (tokens.isOperator("(")) args = parseArgs(tokens);
  else if (
    ["name", "string", "number"].includes(type) && !tokens.isName("else", "or", "and") ||
    type === "operator" && (text === "[" || text === "{")
  ) {
    if (tokens.isName("is")) throw tokens.wrong("tests cannot be chained with is");
    args = { positional: [parsePostfix(tokens, parsePrimary(tokens))], named: [] };
  }
  const test: Expr = { kind: "test", of, name, args };
  return negated ? { kind: "not", of: test } : test;
}

const NO_ARGS: Args = { positional: [], named: [] };

function parseArgs(tokens: Tokens): Args {
  const positional: Expr[] = [], named: [string, Expr][] = [];
  let list: Expr | undefined, dict: Expr | undefined;
  const ensure = (good: boolean) => {
    if (!good) throw tokens.wrong("the arguments of a call stand in a wrong order");
  };
  tokens.expectOperator("(");
  for (let first = true; !tokens.isOperator(")"); first = false) {
    if (!first) {
      tokens.expectOperator(",");
      if (tokens.isOperator(")")) break;
    }
    if (tokens.operator("*")) {
      ensure(!list && !dict);
      list = parseExpression(tokens);
    } else if (tokens.operator("**")) {
      ensure(!dict);
      dict = parseExpression(tokens);
    } else if (
      tokens.current.type === "name" && tokens.ahead.type === "operator" && tokens.ahead.text === "="
    ) {
      ensure(!dict);
      const name = tokens.next().text;
      tokens.next();
      named.push([name, parseExpression(tokens)]);
    } else {
      ensure(!list && !dict && named.length === 0);
      positional.push(parseExpression(tokens));
    }
  }
  tokens.expectOperator(")");
  return { positional, named, ...(list ? { list } : {}), ...(dict ? { dict } : {}) };
}
