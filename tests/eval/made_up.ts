/** Made-up sets in the form of AlpacaEval's and MT-Bench's files. */
import type { Annotation, ModelOutput } from "../../lib/eval/alpaca_files.ts";

/** What `tests/golden/alpaca_eval.py` wrote: lengths and preferences, with scikit-learn's scores. */
export interface Golden {
  readonly difficulty: readonly number[];
  readonly base_length: readonly number[];
  readonly gamed: readonly { readonly delta: readonly number[]; readonly preference: readonly number[] }[];
  readonly models: Readonly<
    Record<string, {
      readonly length: readonly number[];
      readonly preference: readonly number[];
      readonly expected: Readonly<Record<string, number>> & { readonly weights: readonly number[] };
    }>
  >;
}

export async function readGolden(): Promise<Golden> {
  return JSON.parse(await Deno.readTextFile(new URL("../fixtures/eval/alpaca_eval.json", import.meta.url)));
}

/** A text of this many code points; the first takes two UTF-16 units, which must count once. */
function textOf(length: number, filling: string): string {
  return "🦙" + filling.repeat(length - 1);
}

/** The golden's texts: outputs of the baseline and of one model, and their annotations. */
export function goldenRows(golden: Golden, name: string): {
  baseline: ModelOutput[];
  outputs: ModelOutput[];
  annotations: Annotation[];
} {
  const { length, preference } = golden.models[name]!;
  const row = (generator: string, lengths: readonly number[], filling: string) =>
    lengths.map((count, i): ModelOutput => ({
      dataset: "made_up",
      instruction: `Instruction ${i}`,
      output: textOf(count, filling),
      generator,
    }));
  const baseline = row("base", golden.base_length, "b"), outputs = row(name, length, "m");
  const annotations = baseline.map(({ instruction, output }, i): Annotation => ({
    dataset: "made_up",
    instruction,
    output_1: output,
    generator_1: "base",
    output_2: outputs[i]!.output,
    generator_2: name,
    annotator: "rule",
    preference: preference[i]!,
  }));
  return { baseline, outputs, annotations };
}

/** The golden's length data as the text of `df_gamed.csv`. */
export function goldenCsv({ gamed, difficulty }: Golden): string {
  const lines = gamed.flatMap(({ delta, preference }, g) => {
    const mean = delta.reduce((a, b) => a + b, 0) / delta.length;
    const deviation = Math.sqrt(delta.reduce((sum, d) => sum + (d - mean) ** 2, 0) / (delta.length - 1));
    return delta.map((d, i) =>
      [preference[i], i, d / deviation, difficulty[i], "False", `gamed_${g}`].join(",")
    );
  });
  return ["preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline,model", ...lines, ""]
    .join("\n");
}

/** A data directory of AlpacaEval's form from the golden. */
export async function writeBenchmark(
  dir: string,
  name: string,
): Promise<{ annotations: Annotation[]; outputs: ModelOutput[] }> {
  const golden = await readGolden();
  const rows = goldenRows(golden, name);
  await Deno.writeTextFile(`${dir}/alpaca_eval_gpt4_baseline.json`, JSON.stringify(rows.baseline));
  await Deno.writeTextFile(`${dir}/df_gamed.csv`, goldenCsv(golden));
  await Deno.writeTextFile(`${dir}/outputs.json`, JSON.stringify(rows.outputs));
  return rows;
}

/** The real benchmarks' files, where they lie beside the checkout. */
export async function sharedData(name: string): Promise<string | undefined> {
  const path = new URL(`../../../shared/data/${name}`, import.meta.url).pathname;
  try {
    await Deno.stat(path);
    return path;
  } catch {
    return undefined;
  }
}
