/**
 * Jinja's statements, with loop controls and Transformers' `generation`. Source: jinja2/parser.py.
 */
import type { Body, Expr, Macro, Signature, Stmt, Target } from "./ast.ts";
import { TemplateSyntaxError } from "./errors.ts";
import { tokenise } from "./lexer.ts";
import { mentions } from "./mentions.ts";
import { parseExpression, parseFilter, parseTuple } from "./parse_expression.ts";
import { Tokens } from "./tokens.ts";

/**
 * Reads a template.
 *
 * @throws {TemplateSyntaxError}
 */
export function parseTemplate(source: string): Body {
  const tokens = new Tokens(tokenise(source)), body = parseUntil(tokens, []);
  if (tokens.current.type !== "end") throw tokens.unexpected("the end of the template");
  return body;
}

/** Statements up to a tag of one of these names, which is left as the current token. */
function parseUntil(tokens: Tokens, ends: readonly string[]): Body {
  const body: Stmt[] = [];
  for (;;) {
    const { type, text, line } = tokens.current;
    if (type === "data") body.push({ kind: "data", text: tokens.next().text });
    else if (type === "open" && text === "{{") {
      tokens.next();
      body.push({ kind: "output", values: [parseTuple(tokens)] });
      tokens.expectClose();
    } else if (type === "open") {
      tokens.next();
      if (tokens.isName(...ends)) return body;
      body.push(parseStatement(tokens));
      tokens.expectClose();
    } else if (ends.length > 0) {
      throw new TemplateSyntaxError(`line ${line}: the template ends without ${ends.join(" or ")}`);
    } else return body;
  }
}

/** A block's body: behind its opening tag, up to and with the name of its closing one. */
function parseBody(tokens: Tokens, end: string): Body {
  const body = parseBranch(tokens, [end]);
  tokens.next();
  return body;
}

function parseBranch(tokens: Tokens, ends: readonly string[]): Body {
  tokens.operator(":");
  tokens.expectClose();
  return parseUntil(tokens, ends);
}

function parseStatement(tokens: Tokens): Stmt {
  if (tokens.current.type !== "name") throw tokens.unexpected("the name of a tag");
  const name = tokens.current.text, reader = Object.hasOwn(STATEMENTS, name) ? STATEMENTS[name] : undefined;
  if (!reader) throw tokens.wrong(`the tag ${name} is not known (or not supported)`);
  tokens.next();
  return reader(tokens);
}

const STATEMENTS: Readonly<Record<string, (tokens: Tokens) => Stmt>> = {
  set: parseSet,
  if: parseIf,
  for: parseFor,
  macro: (tokens) => {
    const name = tokens.expectName(), signature = parseSignature(tokens);
    return { kind: "macro", name, ...macroOf(signature, parseBody(tokens, "endmacro")) };
  },
  call: (tokens) => {
    const signature = tokens.isOperator("(") ? parseSignature(tokens) : { names: [], defaults: [] };
    const call = parseExpression(tokens);
    if (call.kind !== "call") throw tokens.wrong("a call block without a call");
    return { kind: "callBlock", call, ...macroOf(signature, parseBody(tokens, "endcall")) };
  },
  filter: (tokens) => {
    const filter = parseFilter(tokens, undefined, true)!;
    return { kind: "filterBlock", filter, body: parseBody(tokens, "endfilter") };
  },
  with: (tokens) => {
    const targets: Target[] = [], values: Expr[] = [];
    while (!tokens.isClose()) {
      if (targets.length > 0) tokens.expectOperator(",");
      targets.push(parseTarget(tokens));
      tokens.expectOperator("=");
      values.push(parseExpression(tokens));
    }
    return { kind: "with", targets, values, body: parseBody(tokens, "endwith") };
  },
  print: (tokens) => {
    const values: Expr[] = [];
    while (!tokens.isClose()) {
      if (values.length > 0) tokens.expectOperator(",");
      values.push(parseExpression(tokens));
    }
    return { kind: "output", values };
  },
  generation: (tokens) => ({ kind: "generation", body: parseBody(tokens, "endgeneration") }),
  break: () => ({ kind: "break" }),
  continue: () => ({ kind: "continue" }),
};

function parseSet(tokens: Tokens): Stmt {
  const target = parseTarget(tokens, { attributes: true });
  if (tokens.operator("=")) return { kind: "set", target, value: parseTuple(tokens) };
  const filter = parseFilter(tokens, undefined);
  return { kind: "setBlock", target, filter, body: parseBody(tokens, "endset") };
}

function parseIf(tokens: Tokens): Stmt {
  const branches: [Expr, Body][] = [];
  for (;;) {
    const test = parseTuple(tokens, { conditional: false });
    branches.push([test, parseBranch(tokens, ["elif", "else", "endif"])]);
    const { text } = tokens.next();
    if (text === "elif") continue;
    return { kind: "ifs", branches, else: text === "else" ? parseBody(tokens, "endif") : [] };
  }
}

function parseFor(tokens: Tokens): Stmt {
  const target = parseTarget(tokens, { ends: ["in"] });
  tokens.expectKeyword("in");
  const over = parseTuple(tokens, { conditional: false, ends: ["recursive"] });
  const test = tokens.keyword("if") ? parseExpression(tokens) : undefined;
  const recursive = tokens.keyword("recursive");
  const body = parseBranch(tokens, ["endfor", "else"]);
  const otherwise = tokens.next().text === "else" ? parseBody(tokens, "endfor") : [];
  return { kind: "for", target, over, test, recursive, body, else: otherwise };
}

function macroOf(signature: Signature, body: Body): Macro {
  const takes = {
    kwargs: mentions(body, "kwargs"),
    varargs: mentions(body, "varargs"),
    caller: mentions(body, "caller"),
  };
  return { signature, body, takes };
}

function parseSignature(tokens: Tokens): Signature {
  const names: string[] = [], defaults: Expr[] = [];
  tokens.expectOperator("(");
  while (!tokens.isOperator(")")) {
    if (names.length > 0) tokens.expectOperator(",");
    names.push(tokens.expectName());
    if (tokens.operator("=")) defaults.push(parseExpression(tokens));
    else if (defaults.length > 0) throw tokens.wrong("a parameter without a default behind one that has one");
  }
  tokens.expectOperator(")");
  return { names, defaults };
}

const RESERVED = ["true", "True", "false", "False", "none", "None"];

/** A name, `name.attribute` where allowed, or several with commas between them, in parentheses or not. */
function parseTarget(
  tokens: Tokens,
  { attributes = false, ends = [] }: { attributes?: boolean; ends?: readonly string[] } = {},
): Target {
  const targets: Target[] = [];
  for (;;) {
    if (targets.length > 0) tokens.expectOperator(",");
    if (targets.length > 0 && (tokens.isClose() || tokens.isOperator(")") || tokens.isName(...ends))) break;
    targets.push(parseOneTarget(tokens, attributes));
    if (!tokens.isOperator(",")) {
      if (targets.length === 1) return targets[0];
      break;
    }
  }
  return { kind: "tuple", targets };
}

function parseOneTarget(tokens: Tokens, attributes: boolean): Target {
  if (tokens.operator("(")) {
    const inner = parseTarget(tokens);
    tokens.expectOperator(")");
    return inner;
  }
  const name = tokens.expectName();
  if (RESERVED.includes(name)) throw tokens.wrong(`nothing can be assigned to ${name}`);
  return attributes && tokens.operator(".")
    ? { kind: "attribute", of: name, name: tokens.expectName() }
    : { kind: "name", name };
}
