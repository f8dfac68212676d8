/**
 * Damages files of every kind that is read and reads them: a reader may refuse, but not fail otherwise, hang for 2 s or
 * take 300 MB.
 *
 *   deno task fuzz [--inputs 200000] [--seconds 600] [--seed 1] [--only tokenizer,template]
 */
import { parseArgs } from "@std/cli/parse-args";
import { fuzz } from "../tests/fuzz/fuzz.ts";

const { inputs, seconds, seed, only } = parseArgs(Deno.args, {
  string: ["inputs", "seconds", "seed", "only"],
  default: { inputs: "200000", seconds: "600", seed: "1" },
});
const began = performance.now();
const kinds = new Map<string, number>();
const result = await fuzz({
  inputs: Number(inputs),
  seconds: Number(seconds),
  seed: Number(seed),
  only: only ? String(only).split(",") : [],
  onFault: ({ index, target, what }) => {
    const kind = `${target}: ${what.split("\n").slice(0, 3).join(" ")}`.slice(0, 300);
    const count = (kinds.get(kind) ?? 0) + 1;
    kinds.set(kind, count);
    if (count === 1) console.log(`input ${index}: ${kind}`);
  },
});
for (const [kind, count] of kinds) if (count > 1) console.log(`${count} times ${kind}`);
const took = ((performance.now() - began) / 1000).toFixed(0);
console.log(
  `${result.inputs} inputs in ${took} s, seed ${seed}: ${result.faults.length} faults of ${kinds.size} kinds`,
);
Deno.exit(result.faults.length === 0 ? 0 : 1);
