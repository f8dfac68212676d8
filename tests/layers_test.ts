/**
 * The house's layers, each importing only from those below, and the few rules that keep `mod.ts` importable by URL.
 */
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);

/** What everything in `lib/` may stand on. */
const BASE = ["lib/batch_fields", "lib/deps", "lib/errors", "lib/events", "lib/nearest"];
const FILES = ["lib/io", ...BASE];
const GPU = ["kernels", "lib/gpu", ...BASE];
const MODEL = ["lib/model", "lib/losses", "lib/ops", ...GPU];
const DATA = ["lib/data", "lib/formats", ...FILES];
const LOAD = ["lib/load", "lib/tuning", "lib/report", "lib/options", ...MODEL, ...DATA];
const TRAIN = ["lib/generate", ...LOAD];

/** For each room, the rooms that its files may import from besides their own. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  "kernels": [],
  "lib/batch_fields": [],
  "lib/deps": [],
  "lib/errors": [],
  "lib/events": [],
  "lib/nearest": [],
  "lib/options": FILES,
  "lib/io": BASE,
  "lib/formats": FILES,
  "lib/data": ["lib/formats", ...FILES],
  "lib/gpu": ["kernels", ...BASE],
  "lib/ops": GPU,
  "lib/losses": BASE,
  "lib/model": ["lib/ops", ...GPU],
  "lib/world": ["lib/data", ...FILES],
  "lib/report": FILES,
  "lib/tuning": [...MODEL, "lib/data", ...FILES],
  "lib/load": [...MODEL, ...DATA, "lib/tuning"],
  "lib/generate": LOAD,
  "lib/train": TRAIN,
  "lib/eval": TRAIN,
  "lib/commands": ["lib/eval", "lib/train", "lib/world", ...TRAIN],
  "mod.ts": ["lib/commands", "lib/eval", "lib/train", "lib/world", ...TRAIN],
  "tasks": ["mod.ts"],
};

interface Import {
  readonly file: string;
  readonly specifier: string;
}

/** The room of a path relative to the root: `lib/gpu/plan.ts` is in `lib/gpu`. */
function roomOf(path: string): string {
  const parts = path.split("/");
  if (parts[0] !== "lib") return parts[0];
  return `lib/${parts[1].replace(/\.ts$/, "")}`;
}

/** A source text without its comments. */
function codeOf(source: string): string {
  return source.split("\n").filter((line) => !/^\s*(\*|\/\*\*|\/\/)/.test(line)).join("\n");
}

/** Whether a source text asks for Deno's own functions. */
function knowsDeno(source: string): boolean {
  return /(?<![\w$.])Deno\s*[.[)]|typeof Deno\b/.test(codeOf(source).replaceAll(/\/\/.*$/gm, ""));
}

/** Every module specifier in a source text: static and dynamic imports, re-exports, types. */
function specifiersOf(source: string): string[] {
  const code = codeOf(source);
  const found = [
    ...code.matchAll(/^\s*(?:import|export)\b[^;"'`]*?\bfrom\s*["']([^"']+)["']/gm),
    ...code.matchAll(/^\s*import\s*["']([^"']+)["']/gm),
    ...code.matchAll(/\bimport\(\s*["']([^"']+)["']/g),
  ];
  return found.map((match) => match[1]);
}

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
    if (entry.isDirectory) yield* sources(`${folder}${entry.name}/`);
    else if (entry.name.endsWith(".ts")) yield `${folder}${entry.name}`;
  }
}

async function allFiles(): Promise<string[]> {
  const files = ["mod.ts"];
  for (const folder of ["lib/", "kernels/", "tasks/"]) {
    for await (const file of sources(folder)) files.push(file);
  }
  return files;
}

async function allImports(): Promise<Import[]> {
  const imports: Import[] = [];
  for (const file of await allFiles()) {
    for (const specifier of specifiersOf(await Deno.readTextFile(new URL(file, ROOT)))) {
      imports.push({ file, specifier });
    }
  }
  return imports;
}

/** Why this import breaks a rule, or undefined. */
function objection({ file, specifier }: Import): string | undefined {
  const from = roomOf(file);
  const allowed = ALLOWED[from];
  if (!allowed) return `${file}: the room ${from} has no line in the table of layers`;
  if (specifier.startsWith("npm:") && file === "lib/deps.ts") return undefined;
  if (specifier.startsWith("node:") && from === "lib/io") return undefined;
  // the command line runs from this repository alone, with its import map
  if (from === "tasks" && specifier.startsWith("@std/cli/")) return undefined;
  if (!specifier.startsWith("./") && !specifier.startsWith("../")) {
    return `${file}: "${specifier}" is no relative import (packages enter through lib/deps.ts)`;
  }
  const target = new URL(specifier, new URL(file, ROOT)).href.slice(ROOT.href.length);
  const to = roomOf(target);
  if (to === from || allowed.includes(to)) return undefined;
  return `${file} imports ${target}, but ${from} stands only on ${allowed.join(", ") || "nothing"}`;
}

Deno.test("layers: every import points to the same room or to one below", async () => {
  const imports = await allImports();
  // A table of layers that no import is held against would prove nothing.
  assert(imports.length > 50, `only ${imports.length} imports were found`);
  assertEquals(imports.map(objection).filter((text) => text !== undefined), []);
});

Deno.test("layers: only lib/io and tasks know Deno, so that the rest runs elsewhere too", async () => {
  const knowing = new Set<string>();
  for (const file of await allFiles()) {
    if (knowsDeno(await Deno.readTextFile(new URL(file, ROOT)))) knowing.add(roomOf(file));
  }
  assertEquals([...knowing].sort(), ["lib/io", "tasks"]);
  for (const text of ["await Deno.stat(path)", "(typeof Deno)", 'Deno["stat"]', "f(Deno)"]) {
    assert(knowsDeno(text), text);
  }
  for (const text of ["// Deno.stat", " * 11 ms in Deno)", 'const name = "deno"', "x(); // as Deno.stat"]) {
    assert(!knowsDeno(text), text);
  }
});

/** Circles of files, types included: each a path from a file back to itself. */
function circles(imports: readonly Import[]): string[] {
  const targets = new Map<string, string[]>();
  for (const { file, specifier } of imports) {
    if (!specifier.startsWith(".")) continue;
    const target = new URL(specifier, new URL(file, ROOT)).href.slice(ROOT.href.length);
    targets.set(file, [...targets.get(file) ?? [], target]);
  }
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    const from = path.indexOf(file);
    if (from >= 0) found.push([...path.slice(from), file].join(" > "));
    if (from >= 0 || done.has(file)) return;
    for (const target of targets.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of targets.keys()) visit(file, []);
  return found;
}

Deno.test("layers: no files import each other in a circle, types included", async () => {
  assertEquals(circles(await allImports()), []);
  const imports = [["lib/a/x.ts", "./y.ts"], ["lib/a/y.ts", "../b/z.ts"], [
    "lib/b/z.ts",
    "../a/x.ts",
  ]] as const;
  assertEquals(circles(imports.map(([file, specifier]) => ({ file, specifier }))), [
    "lib/a/x.ts > lib/a/y.ts > lib/b/z.ts > lib/a/x.ts",
  ]);
});

Deno.test("layers: imports are found in every form they take", () => {
  const source = `
import { a } from "./a.ts";
import type { B } from './b.ts';
import {
  c,
} from "../c.ts";
import "./d.ts";
export * from "./e.ts";
export { f, type G } from "./f.ts";
import text from "./g.wgsl" with { type: "text" };
const h = await import("./h.ts");
type I = import("./i.ts").I;
// import { no } from "./comment.ts";
/**
 * import { no } from "./doc.ts";
 */
export const j = "no import";
`;
  assertEquals(
    specifiersOf(source).toSorted(),
    ["../c.ts", "./a.ts", "./b.ts", "./d.ts", "./e.ts", "./f.ts", "./g.wgsl", "./h.ts", "./i.ts"],
  );
});

Deno.test("layers: a breach is named", () => {
  const breaches: Import[] = [
    { file: "lib/losses/mipo.ts", specifier: "../model/llama.ts" },
    { file: "lib/model/model.ts", specifier: "../data/batch.ts" },
    { file: "lib/formats/safetensors.ts", specifier: "../gpu/device.ts" },
    { file: "lib/gpu/plan.ts", specifier: "../ops/matmul.ts" },
    { file: "tasks/train.ts", specifier: "../lib/train/trainer.ts" },
    { file: "lib/train/trainer.ts", specifier: "npm:zod@4" },
    { file: "lib/train/trainer.ts", specifier: "@std/assert" },
    { file: "lib/attic/old.ts", specifier: "./older.ts" },
  ];
  for (const breach of breaches) assert(objection(breach), JSON.stringify(breach));
  assertEquals(objection({ file: "lib/train/trainer.ts", specifier: "../model/model.ts" }), undefined);
});
