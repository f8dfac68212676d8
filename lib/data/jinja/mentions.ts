/** Whether a body uses a name. */
import type { Body } from "./ast.ts";

/** Jinja gives a macro `kwargs`, `varargs` and `caller` only where its body has the name. */
export function mentions(body: Body, name: string): boolean {
  const has = (node: unknown): boolean => {
    if (Array.isArray(node)) return node.some(has);
    if (typeof node !== "object" || node === null || node instanceof Map) return false;
    const { kind, name: own } = node as { kind?: unknown; name?: unknown };
    return (kind === "name" && own === name) || Object.values(node).some(has);
  };
  return has(body);
}
