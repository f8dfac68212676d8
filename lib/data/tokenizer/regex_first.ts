/**
 * What an expression can begin with: most of what cannot match is passed over by one look.
 */
import { CharSet } from "./char_set.ts";
import type { Node } from "./regex_parse.ts";

/** The characters that a match of `node` can begin with; undefined if it can be empty or cannot be known. */
export function firstOf(node: Node): CharSet | undefined {
  switch (node.kind) {
    case "set":
      return node.set;
    case "group":
    case "atomic":
      return firstOf(node.body);
    case "repeat":
      return node.min > 0 ? firstOf(node.body) : undefined;
    case "alt": {
      const firsts = node.nodes.map(firstOf);
      return firsts.includes(undefined) ? undefined : CharSet.union(firsts as CharSet[]);
    }
    case "seq": {
      const optional: CharSet[] = [];
      for (const part of node.nodes) {
        if (part.kind === "look" || part.kind === "assert") continue; // takes nothing
        const whole = firstOf(part);
        if (whole) return CharSet.union([...optional, whole]);
        // `x?y` begins with x or y.
        const inner = part.kind === "repeat" ? firstOf(part.body) : undefined;
        if (!inner) return undefined;
        optional.push(inner);
      }
      return undefined;
    }
    default:
      return undefined;
  }
}
