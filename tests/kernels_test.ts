/**
 * What no kernel's text may contain: patterns that a software adapter runs as meant and that other drivers may not.
 * Every rule has a reason, and a text that it must find.
 */
import { assert, assertEquals } from "@std/assert";
import { kernels } from "../kernels/mod.ts";
import { nullGpu } from "../lib/gpu/device.ts";
import { Recorder } from "../lib/gpu/recorder.ts";
import { createObjective, losses } from "../lib/losses/mod.ts";
import { attention, attentionBackward } from "../lib/ops/attention.ts";
import { linear, linearBackwardInput, linearBackwardWeight } from "../lib/ops/matmul.ts";

interface Rule {
  readonly name: string;
  readonly reason: string;
  /** The offending places in a kernel's text: comments removed, `#include`s filled in. */
  find(text: string): string[];
  /** Texts that the rule must find, and ones that it must not. */
  readonly wrong: readonly string[];
  readonly right: readonly string[];
}

/** Names of workgroup variables, and how many indices lead to a whole number or vector of each. */
function workgroupVariables(text: string): { name: string; depth: number }[] {
  return [...text.matchAll(/var<workgroup>\s+(\w+)\s*:\s*([^;]+);/g)].map(([, name, type]) => {
    return { name: name!, depth: type!.match(/array</g)?.length ?? 0 };
  });
}

/** Assignments to a variable: their places and accessors. */
function stores(text: string, name: string): { at: number; accessors: string[]; line: string }[] {
  const found: { at: number; accessors: string[]; line: string }[] = [];
  for (const { index } of text.matchAll(new RegExp(`(?<![\\w.])${name}(?=[\\[.\\s])`, "g"))) {
    let at = index + name.length;
    const accessors: string[] = [];
    for (;;) {
      const start = at;
      if (text[at] === "[") {
        let open = 0;
        do {
          if (text[at] === "[") open++;
          if (text[at] === "]") open--;
          at++;
        } while (open > 0);
      } else if (text[at] === ".") {
        at++;
        while (/\w/.test(text[at]!)) at++;
      } else break;
      accessors.push(text.slice(start, at));
    }
    if (/^\s*([-+*/%&|^]|<<|>>)?=(?!=)|^\s*(\+\+|--)/.test(text.slice(at))) {
      found.push({ at: index, accessors, line: text.slice(index, text.indexOf("\n", index)).trim() });
    }
  }
  return found;
}

/** Functions whose bodies begin with a barrier. */
function barrierFunctions(text: string): string[] {
  return [...text.matchAll(/fn (\w+)\([^)]*\)[^{]*\{\s*workgroupBarrier\(\)/g)].map(([, name]) => name!);
}

const RULES: readonly Rule[] = [
  {
    name: "no store to one component of a vector in workgroup memory",
    reason: "it may write the whole vector, so that two threads' components race (WGSL, memory model)",
    find: (text) =>
      workgroupVariables(text).flatMap(({ name, depth }) =>
        stores(text, name).filter(({ accessors }) => accessors.length > depth).map(({ line }) => line)
      ),
    wrong: [
      "var<workgroup> a: array<vec4<f32>, 8>;\n  a[i][j % 4u] = 1.0;\n",
      "var<workgroup> a: vec2<u32>;\n  a.x += 1u;\n",
    ],
    right: [
      "var<workgroup> a: array<array<vec2<u32>, 3>, 8>;\n  a[i][b[j]] = vec2<u32>();\n  let x = a[0][0].x;\n",
    ],
  },
  {
    name: "no workgroupUniformLoad",
    reason: "as the bound of a loop with barriers in it it has hung Metal; read-only memory is as uniform",
    find: (text) => text.match(/.*workgroupUniformLoad.*/g) ?? [],
    wrong: ["let n = workgroupUniformLoad(&walk);"],
    right: ["let n = ranges[0].x;"],
  },
  {
    name: "a barrier before the first store to workgroup memory",
    reason: "drivers that zero that memory need not wait until all of it is done",
    find: (text) => {
      const main = text.slice(text.indexOf("fn main("));
      const barrier = [
        /workgroupBarrier\(\)/,
        ...barrierFunctions(text).map((name) => RegExp(`\\b${name}\\(`)),
      ]
        .map((pattern) => main.search(pattern)).filter((at) => at >= 0);
      const first = Math.min(Infinity, ...barrier);
      return workgroupVariables(text).flatMap(({ name }) =>
        stores(main, name).filter(({ at }) => at < first).map(({ line }) => line)
      );
    },
    wrong: ["var<workgroup> a: array<f32, 8>;\nfn main() {\n  a[lane] = 1.0;\n  workgroupBarrier();\n}\n"],
    right: [
      "var<workgroup> a: array<f32, 8>;\nfn sum() {\n  workgroupBarrier();\n  a[0] = 1.0;\n}\nfn main() {\n  sum();\n  a[1] = 1.0;\n}\n",
    ],
  },
  {
    name: "tests for NaN and infinity only by the bits of values from memory",
    reason: "compilers that assume finite arithmetic fold tests of what they have just computed",
    find: (text) => {
      const own = [...text.matchAll(/.*(0x7f800000u|\bisNan\b|\bisInf\b).*|.*\b(\w+) != \2\b.*/g)]
        .map(([line]) => line).filter((line) => !/return \(bits & 0x7f[8f]0*f*u\)/.test(line));
      const tests = [
        ...text.matchAll(/(?<!fn )\bnot_(?:finite|a_number)\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)/g),
      ];
      const folded = tests.filter(([, argument]) => !fromMemory(text, argument!)).map(([line]) => line!);
      return [...own, ...folded];
    },
    wrong: [
      "let bits = bitcast<u32>(sqrt(sum));\nif (not_finite(bits)) {",
      "if (x != x) {",
      "if ((bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u) {",
    ],
    right: [
      "let x = logits[i];\nif (not_a_number(bitcast<u32>(x))) {",
      "if (not_finite(bitcast<u32>(norm[1]))) {",
    ],
  },
  {
    name: "every var has an initial value",
    reason: "naga leaves an uninitialised var of a loop with its value of the round before",
    find: (text) => text.match(/\bvar\s+\w+\s*:(?!\s*texture_)[^=;]+;/g) ?? [],
    wrong: ["for (;;) {\n  var sum: f32;\n"],
    right: ["var sum: f32 = 0.0;", "@group(0) @binding(2) var left: texture_storage_2d<rgba32float, read>;"],
  },
  {
    name: "no % of signed numbers",
    reason: "of negative operands it is wrong on NVIDIA under this version of wgpu",
    find: (text) => {
      const named = [...text.matchAll(/\b(?:let|var)\s+(\w+)\s*=\s*i32\(|(\w+)\s*:\s*i32\b/g)];
      const signed = named.map(([, one, other]) => `\\b${one ?? other}\\b`).concat("\\bi32\\b").join("|");
      return (text.match(/.*%.*/g) ?? []).filter((line) => new RegExp(signed).test(line));
    },
    wrong: ["let a = i32(x);\nlet b = a % 4;"],
    right: ["let a = x % 4u;\nlet b = i32(x);", "let k = i32(bits >> 23u) - 127;"],
  },
  {
    name: "no atomics, no subgroups",
    reason:
      "float atomics do not exist, others are not atomic on DX12 under this wgpu, subgroups not everywhere",
    find: (text) => text.match(/.*\b(atomic|subgroup|quad[A-Z])\w*.*/g) ?? [],
    wrong: ["subgroupAdd(x)", "var<workgroup> n: atomic<u32>;"],
    right: ["let quad = 1u;"],
  },
];

/** Whether an argument is an element of an array, or bound to one. */
function fromMemory(text: string, argument: string): boolean {
  const inner = /^bitcast<u32>\((.*)\)$/.exec(argument.trim())?.[1] ?? argument.trim();
  const element = /^part\((\w+), /.exec(inner)?.[1] ?? inner;
  if (/^\w+\[.*\]$/.test(element)) return true;
  const plain = element.replace(/\$\{[^}]*\}/g, "");
  if (new RegExp(`fn to_bf16\\(${plain}: f32\\)`).test(text)) return true; // pack and products give it what they load
  const bound = [...text.matchAll(/let ([\w${}]+) = ([^;]+);/g)]
    .filter(([, name]) => name!.replace(/\$\{[^}]*\}/g, "") === plain)
    .map(([, , value]) => value!.trim());
  return bound.length > 0 && bound.every((value) => fromMemory(text, value));
}

/** A kernel's text with its includes, without comments. */
function flatten(name: string): string {
  const text = kernels[name]!.replace(/^\s*#include (\w+)$/gm, (_, other: string) => flatten(other));
  return text.replace(/\/\/.*$/gm, "");
}

const texts = new Map([
  ...Object.keys(kernels).map((name) => [name, flatten(name)] as const),
  ...Object.keys(losses).map((name) => [name, createObjective({ loss_type: name }).shader.code] as const),
]);

for (const { name, reason, find, wrong, right } of RULES) {
  Deno.test(`kernels: ${name}`, () => {
    for (const text of wrong) assert(find(text).length > 0, `the rule misses: ${text}`);
    for (const text of right) assertEquals(find(text), [], `the rule finds fault with: ${text}`);
    for (const [kernel, text] of texts) assertEquals(find(text), [], `${kernel}: ${reason}`);
  });
}

Deno.test("no dispatch of a large model's products and attention holds more work than a watchdog lets pass", () => {
  const rec = new Recorder(nullGpu("gpu"));
  const T = 16_384, D = 8192;
  const x = rec.tensor("x", [T, D]);
  const w = rec.tensor("w", [D, D]);
  const y = linear(rec, x, w, { name: "y" });
  linearBackwardInput(rec, y, w, { name: "dx" });
  linearBackwardWeight(rec, y, x, { dw: rec.tensor("dw", [D, D]) });
  linear(rec, x, w, { name: "simple", variant: "simple" });
  linear(rec, x, w, { name: "tile", variant: "buffer_8x8" });
  const shape = { heads: 64, kvHeads: 8, headSize: 128, scale: 1, window: null };
  const qkv = rec.tensor("qkv", [T, 80 * 128]);
  const queryRanges = rec.tensor("queries", [T, 4]), keyRanges = rec.tensor("keys", [T, 8]);
  for (const variant of ["group", "simple"]) {
    const options = { name: variant, variant };
    const saved = attention(rec, qkv, queryRanges, shape, options);
    attentionBackward(rec, { qkv, ...saved, dO: saved.o, queryRanges, keyRanges }, shape, options);
  }
  let total = 0;
  for (const step of rec.steps) {
    if (step.kind !== "dispatch") continue;
    total += step.flops;
    assert(step.flops <= 1e11, `${step.shader.label}: ${step.flops} FLOP in one dispatch`);
  }
  assert(total > 1e13, `${total}`);
});

/** Bytes of a shader's workgroup memory. */
function workgroupBytes(code: string): number {
  const sizeOf = (type: string): number => {
    const array = /^array<(.*),\s*(\d+)>$/.exec(type.trim());
    if (array) return sizeOf(array[1]!) * Number(array[2]);
    const words = /^vec([24])</.exec(type.trim())?.[1];
    return 4 * Number(words ?? 1);
  };
  const plain = code.replace(/\/\/.*$/gm, "").replaceAll("Lane", "vec4<f32>");
  return [...plain.matchAll(/var<workgroup>\s+\w+\s*:\s*([^;]+);/g)]
    .reduce((sum, [, type]) => sum + sizeOf(type!), 0);
}

Deno.test("attention for GPUs keeps within 16 KiB of workgroup memory and 64 sums a lane, whatever the head size", () => {
  for (let K = 4; K <= 256; K += 4) {
    const rec = new Recorder(nullGpu("gpu"));
    const shape = { heads: 4, kvHeads: 2, headSize: K, scale: 1, window: null };
    const qkv = rec.tensor("qkv", [64, 8 * K]);
    const queryRanges = rec.tensor("queries", [64, 4]), keyRanges = rec.tensor("keys", [64, 8]);
    const saved = attention(rec, qkv, queryRanges, shape, { name: "o" });
    attentionBackward(rec, { qkv, ...saved, dO: saved.o, queryRanges, keyRanges }, shape, { name: "d" });
    const shaders = rec.steps.flatMap((step) => step.kind === "dispatch" ? [step.shader] : []);
    assertEquals(shaders.filter(({ label }) => label.startsWith("attention_group")).length, 4, `K ${K}`);
    for (const { label, code } of shaders) {
      const bytes = workgroupBytes(code);
      assert(bytes <= 16_384, `${label}: ${bytes} bytes`);
      const sums = code.match(/var sum_\d+_\d+ = vec4<f32>/g)?.length ?? 0;
      assert(4 * sums <= 64, `${label}: ${4 * sums} sums`);
      assert(!label.startsWith("attention_group") || sums > 0, label);
    }
  }
  assertEquals(
    workgroupBytes("var<workgroup> a: array<array<vec2<u32>, 3>, 8>;\nvar<workgroup> b: f32;"),
    196,
  );
});

/** A text's loops, each with how many `for` and `while` lie within it and how many barriers stand in it itself. */
function loopsOf(code: string): { inner: number; barriers: number }[] {
  const text = code.replace(/\/\/.*$/gm, "");
  return [...text.matchAll(/\b(?:for|while)\s*\([^{]*\{/g)].map(({ 0: head, index }) => {
    let depth = 1, at = index + head.length;
    while (depth > 0) depth += { "{": 1, "}": -1 }[text[at++]!] ?? 0;
    const body = text.slice(index + head.length, at - 1);
    return {
      inner: body.match(/\b(?:for|while)\s*\(/g)?.length ?? 0,
      barriers: body.match(/workgroupBarrier\(\)/g)?.length ?? 0,
    };
  });
}

Deno.test("kernels for GPUs: sums of a slice are written out, as compilers bound every loop and dynamic index", () => {
  const rec = new Recorder(nullGpu("gpu"));
  const [x, w] = [rec.tensor("x", [512, 512]), rec.tensor("w", [512, 512])];
  for (const variant of ["block_64", "block_64_8x8", "block_128"]) {
    const y = linear(rec, x, w, { name: "y", variant });
    linearBackwardInput(rec, y, w, { name: "dx", variant });
    linearBackwardWeight(rec, y, x, { dw: rec.tensor("dw", [512, 512]), variant });
  }
  const shape = { heads: 4, kvHeads: 2, headSize: 128, scale: 1, window: null };
  const qkv = rec.tensor("qkv", [64, 8 * 128]);
  const queryRanges = rec.tensor("queries", [64, 4]), keyRanges = rec.tensor("keys", [64, 8]);
  const saved = attention(rec, qkv, queryRanges, shape, { name: "o" });
  attentionBackward(rec, { qkv, ...saved, dO: saved.o, queryRanges, keyRanges }, shape, { name: "d" });
  const texts = new Map(
    rec.steps.flatMap((step) => step.kind === "dispatch" ? [[step.shader.label, step.shader.code]] : []),
  );
  let found = 0;
  for (const [label, code] of texts) {
    if (!/^(matmul_block|attention_group)/.test(label)) continue;
    found++;
    // One loop over slices, each loaded, waited for and multiplied in full; attention's lies in that over blocks.
    const innermost = loopsOf(code).filter(({ inner, barriers }) => inner === 0 && barriers > 0);
    assert(innermost.length > 0, label);
    assert(innermost.every(({ barriers }) => barriers === 2), `${label}: ${JSON.stringify(innermost)}`);
    const block = label.startsWith("matmul");
    assertEquals(loopsOf(code).length, block ? 1 : innermost.length + 2, label);
    assert(!/var<workgroup>[^;]*array<f32/.test(code), `${label}: workgroup memory that is no vectors`);
  }
  assert(found >= 7, `${found}`);
});
