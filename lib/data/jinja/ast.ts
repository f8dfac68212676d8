/** A template as a tree. The names are Jinja's. */
import type { Value } from "./values.ts";

export type Expr =
  | { readonly kind: "const"; readonly value: Value }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "list" | "tuple" | "concat"; readonly items: readonly Expr[] }
  | { readonly kind: "dict"; readonly pairs: readonly (readonly [Expr, Expr])[] }
  | { readonly kind: "attribute"; readonly of: Expr; readonly name: string }
  | { readonly kind: "item"; readonly of: Expr; readonly key: Expr }
  | { readonly kind: "slice"; readonly of: Expr; readonly bounds: readonly (Expr | undefined)[] }
  | Call
  | {
    readonly kind: "filter" | "test";
    readonly of: Expr | undefined;
    readonly name: string;
    readonly args: Args;
  }
  | { readonly kind: "not"; readonly of: Expr }
  | { readonly kind: "unary"; readonly op: string; readonly of: Expr }
  | { readonly kind: "binary" | "and" | "or"; readonly op: string; readonly left: Expr; readonly right: Expr }
  | { readonly kind: "compare"; readonly left: Expr; readonly rest: readonly (readonly [op: string, Expr])[] }
  | { readonly kind: "if"; readonly test: Expr; readonly then: Expr; readonly else: Expr | undefined };

/** `of(args)`. */
export interface Call {
  readonly kind: "call";
  readonly of: Expr;
  readonly args: Args;
}

/** Arguments of a call: in order, by name, `*list` and `**dict`. */
export interface Args {
  readonly positional: readonly Expr[];
  readonly named: readonly (readonly [string, Expr])[];
  readonly list?: Expr;
  readonly dict?: Expr;
}

/** What `set` and `for` assign to. */
export type Target =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "attribute"; readonly of: string; readonly name: string }
  | { readonly kind: "tuple"; readonly targets: readonly Target[] };

/** Names and defaults of a macro's or call block's parameters. */
export interface Signature {
  readonly names: readonly string[];
  /** Of the last parameters. */
  readonly defaults: readonly Expr[];
}

/** A macro's or call block's parameters and body. */
export interface Macro {
  readonly signature: Signature;
  readonly body: Body;
  /** Which of the names that are given without being asked for the body has. */
  readonly takes: { readonly kwargs: boolean; readonly varargs: boolean; readonly caller: boolean };
}

export type Stmt =
  | { readonly kind: "data"; readonly text: string }
  | { readonly kind: "output"; readonly values: readonly Expr[] }
  | { readonly kind: "set"; readonly target: Target; readonly value: Expr }
  | {
    readonly kind: "setBlock";
    readonly target: Target;
    readonly filter: Expr | undefined;
    readonly body: Body;
  }
  | { readonly kind: "ifs"; readonly branches: readonly (readonly [Expr, Body])[]; readonly else: Body }
  | {
    readonly kind: "for";
    readonly target: Target;
    readonly over: Expr;
    readonly test: Expr | undefined;
    readonly recursive: boolean;
    readonly body: Body;
    readonly else: Body;
  }
  | ({ readonly kind: "macro"; readonly name: string } & Macro)
  | ({ readonly kind: "callBlock"; readonly call: Call } & Macro)
  | { readonly kind: "filterBlock"; readonly filter: Expr; readonly body: Body }
  | {
    readonly kind: "with";
    readonly targets: readonly Target[];
    readonly values: readonly Expr[];
    readonly body: Body;
  }
  | { readonly kind: "generation"; readonly body: Body }
  | { readonly kind: "break" | "continue" };

export type Body = readonly Stmt[];
