/**
 * A parsed expression as a chain of functions, each of which knows what must match after it.
 */
import { type CharSet, WORD } from "./char_set.ts";
import { firstOf } from "./regex_first.ts";
import type { Node } from "./regex_parse.ts";

/** Where the rest of the expression matches from `at`: the match's end, or -1. */
export type Matcher = (at: number) => number;

/** An expression took too long on a text. */
export class StepLimitError extends Error {}

/** What a search is doing; the functions of one expression share it. */
export interface State {
  text: string;
  /** Where the search began (`\G`). */
  start: number;
  steps: number;
  /** Start and end of each group's last match, -1 where none. */
  groups: number[];
}

/** Counts steps. */
export function tick(state: State, steps: number): void {
  if ((state.steps -= steps) < 0) throw new StepLimitError("the limit of steps is reached");
}

/** The code point at `at`. */
export function codeAt(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return (code & 0xfc00) === 0xd800 ? text.codePointAt(at)! : code;
}

/** The code units of the character at `at`. */
export function widthAt(text: string, at: number): number {
  return (text.charCodeAt(at) & 0xfc00) === 0xd800 && at + 1 < text.length ? 2 : 1;
}

function widthBefore(text: string, at: number): number {
  return (text.charCodeAt(at - 1) & 0xfc00) === 0xdc00 && at > 1 ? 2 : 1;
}

interface Context {
  readonly next: Matcher;
  readonly state: State;
}

/** The function that matches `node` and then what `next` does. */
export function compile(node: Node, { next, state }: Context): Matcher {
  switch (node.kind) {
    case "set": {
      const { set } = node;
      return (at) => {
        if (at >= state.text.length) return -1;
        const code = codeAt(state.text, at);
        return set.has(code) ? next(at + (code > 0xffff ? 2 : 1)) : -1;
      };
    }
    case "seq":
      return node.nodes.reduceRight((rest: Matcher, part) => compile(part, { next: rest, state }), next);
    case "alt":
      return compileAlternatives(node.nodes, { next, state });
    case "group": {
      const { index } = node;
      const close: Matcher = (at) => {
        const { groups } = state, start = groups[2 * index], old = groups[2 * index + 1];
        groups[2 * index + 1] = at;
        const end = next(at);
        if (end < 0) [groups[2 * index], groups[2 * index + 1]] = [start, old];
        return end;
      };
      const body = compile(node.body, { next: close, state });
      return (at) => {
        const old = state.groups[2 * index];
        state.groups[2 * index] = at;
        const end = body(at);
        if (end < 0) state.groups[2 * index] = old;
        return end;
      };
    }
    case "atomic": {
      const body = compile(node.body, { next: (at) => at, state });
      return (at) => {
        const end = body(at);
        return end < 0 ? -1 : next(end);
      };
    }
    case "repeat":
      return compileRepeat(node, { next, state });
    case "look":
      return compileLook(node, { next, state });
    case "assert": {
      const holds = ASSERTIONS[node.what];
      return (at) => holds(state, at) ? next(at) : -1;
    }
    case "back": {
      const { index } = node;
      return (at) => {
        const start = state.groups[2 * index], end = state.groups[2 * index + 1];
        if (start < 0 || end < start) return -1;
        const seen = state.text.slice(start, end);
        tick(state, seen.length);
        return state.text.startsWith(seen, at) ? next(at + seen.length) : -1;
      };
    }
  }
}

/** Alternatives in order; by the next character only those that can begin with it. */
function compileAlternatives(nodes: readonly Node[], { next, state }: Context): Matcher {
  const matchers = nodes.map((node) => compile(node, { next, state })), firsts = nodes.map(firstOf);
  const always = matchers.filter((_, i) => !firsts[i]);
  const choices = new Map<number, readonly Matcher[]>();
  return (at) => {
    let chosen: readonly Matcher[] = always;
    if (at < state.text.length) {
      const code = codeAt(state.text, at), known = choices.get(code);
      if (known) chosen = known;
      else {
        chosen = matchers.filter((_, i) => firsts[i]?.has(code) ?? true);
        choices.set(code, chosen);
      }
    }
    for (let i = 0; i < chosen.length; i++) {
      const end = chosen[i](at);
      if (end >= 0) return end;
      tick(state, 1);
    }
    return -1;
  };
}

function compileRepeat(node: Node & { kind: "repeat" }, { next, state }: Context): Matcher {
  const { body, min, max, mode } = node;
  if (body.kind === "set" && mode !== "lazy") return repeatSet(body.set, { ...node, next, state });
  if (mode === "possessive") {
    return compile({ kind: "atomic", body: { ...node, mode: "greedy" } }, { next, state });
  }
  // Rounds by recursion; a round that matches nothing ends the repetition.
  let rounds = 0, from = -1;
  const enter: Matcher = (at) => {
    tick(state, 1);
    const more = () => {
      const saved: [number, number] = [rounds, from];
      rounds++;
      from = at;
      const end = once(at);
      [rounds, from] = saved;
      return end;
    };
    if (at === from && rounds >= min) return next(at);
    if (rounds < min) return more();
    if (rounds >= max) return next(at);
    const end = mode === "lazy" ? next(at) : more();
    return end >= 0 ? end : mode === "lazy" ? more() : next(at);
  };
  const once = compile(body, { next: enter, state });
  return (at) => {
    const saved: [number, number] = [rounds, from];
    rounds = 0;
    from = -1;
    const end = enter(at);
    [rounds, from] = saved;
    return end;
  };
}

interface SetRepeat extends Context {
  readonly min: number;
  readonly max: number;
  readonly mode: string;
}

function repeatSet(set: CharSet, { min, max, mode, next, state }: SetRepeat): Matcher {
  const possessive = mode === "possessive";
  return (at) => {
    const { text } = state, length = text.length;
    let end = at, count = 0;
    while (count < max && end < length) {
      const code = codeAt(text, end);
      if (!set.has(code)) break;
      end += code > 0xffff ? 2 : 1;
      count++;
    }
    if (count < min) return -1;
    tick(state, count + 1);
    if (possessive) return next(end);
    for (;;) {
      const found = next(end);
      if (found >= 0) return found;
      if (count === min) return -1;
      tick(state, 1);
      end -= widthBefore(text, end);
      count--;
    }
  };
}

function compileLook(node: Node & { kind: "look" }, { next, state }: Context): Matcher {
  const { behind, negative } = node;
  if (!behind) {
    const body = compile(node.body, { next: (at) => at, state });
    return (at) => (body(at) >= 0) !== negative ? next(at) : -1;
  }
  let stop = -1;
  const body = compile(node.body, { next: (at) => at === stop ? at : -1, state });
  return (at) => {
    const saved = stop;
    stop = at;
    let found = false;
    for (let from = at; from >= 0; from -= widthBefore(state.text, from)) {
      tick(state, 1);
      if (body(from) >= 0) {
        found = true;
        break;
      }
    }
    stop = saved;
    return found !== negative ? next(at) : -1;
  };
}

const isWord = ({ text }: State, at: number) => at < text.length && WORD.has(codeAt(text, at));
const wordBefore = (state: State, at: number) => at > 0 && isWord(state, at - widthBefore(state.text, at));

const ASSERTIONS: Record<(Node & { kind: "assert" })["what"], (state: State, at: number) => boolean> = {
  "^": ({ text }, at) => at === 0 || (text[at - 1] === "\n" && at < text.length),
  "$": ({ text }, at) => at === text.length || text[at] === "\n",
  A: (_, at) => at === 0,
  z: ({ text }, at) => at === text.length,
  Z: ({ text }, at) => at === text.length || (at === text.length - 1 && text[at] === "\n"),
  b: (state, at) => isWord(state, at) !== wordBefore(state, at),
  B: (state, at) => isWord(state, at) === wordBefore(state, at),
  G: ({ start }, at) => at === start,
};
