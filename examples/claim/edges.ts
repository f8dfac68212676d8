/**
 * Whether the grid was large enough: where a method's choice lies at its grid's edge, one step beyond, on the
 * development prompts. After `claim.ts`:
 *
 *     deno run -A examples/claim/edges.ts [--out runs/claim] [--quick]
 */
import { parseArgs } from "@std/cli/parse-args";
import { type Choice, choicePath, devAccuracies, type Point } from "./runs.ts";
import { LEARNING_RATES, type Method, METHODS, SIZES } from "./settings.ts";

/** One step beyond, as far as the grid's last step went; undefined where the value is inside the grid. */
export function beyond(value: number, grid: readonly number[]): number | undefined {
  const sorted = grid.toSorted((a, b) => a - b), at = sorted.indexOf(value);
  const next = at === sorted.length - 1
    ? value * value / sorted[at - 1]!
    : at === 0
    ? value * value / sorted[1]!
    : NaN;
  return Number.isNaN(next) ? undefined : Number(next.toPrecision(3));
}

function pointsBeyond({ learning_rate, beta }: Choice, method: Method): Point[] {
  const rate = beyond(learning_rate, LEARNING_RATES), slope = beyond(beta, method.beta);
  return [
    ...rate === undefined ? [] : [{ learning_rate: rate, beta }],
    ...slope === undefined ? [] : [{ learning_rate, beta: slope }],
  ];
}

async function main(): Promise<void> {
  const { quick, ...args } = parseArgs(Deno.args, {
    string: ["out"],
    boolean: ["quick"],
    default: { out: "runs/claim" },
  });
  const out = String(args.out), sizes = SIZES[quick ? "quick" : "full"];
  const rows: string[] = [];
  for (const method of METHODS) {
    const choice: Choice = JSON.parse(await Deno.readTextFile(choicePath(out, method)));
    const points = pointsBeyond(choice, method);
    const found = await devAccuracies(method, points, { out, sizes, folder: "edges" });
    const chosen = choice.dev.find((run) =>
      run.learning_rate === choice.learning_rate && run.beta === choice.beta
    )!;
    rows.push(`| ${[method.name, told(chosen), found.map(told).join("; ")].join(" | ")} |`);
    const head = "| method | chosen | one step beyond |\n| --- | --- | --- |";
    await Deno.writeTextFile(`${out}/edges.md`, `${[head, ...rows].join("\n")}\n`);
  }
  console.error(`${out}/edges.md`);
}

function told({ learning_rate, beta, accuracy }: Point & { accuracy: number }): string {
  return `${learning_rate}, β ${beta}: ${(100 * accuracy).toFixed(1)}`;
}

if (import.meta.main) await main();
