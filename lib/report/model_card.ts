/**
 * The card that lies beside a trained model: where it comes from, how it was trained, what the run measured.
 */
import { shortNumber } from "./progress.ts";

/** What a card tells. */
export interface CardContent {
  /** The model that was trained: a name on the hub, or a directory's. */
  readonly base: string;
  /** The loss's name, as `loss_type` has it. */
  readonly loss: string;
  /** `adapter`: only an adapter was trained. */
  readonly trained: "model" | "adapter";
  /** The data's name and how many of its rows were used. */
  readonly data: { readonly name: string; readonly rows: number };
  /** Options, as resolved. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The last training and the last evaluation row. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** What a reader wants to know of a run's options; the rest stands in its config.json. */
const SHOWN = [
  "beta",
  "learning_rate",
  "lr_scheduler_type",
  "batch_size",
  "max_length",
  "num_train_epochs",
  "max_steps",
  "lora_r",
  "lora_alpha",
  "seed",
];
const MEASURED = [
  "loss",
  "rewards/accuracies",
  "rewards/margins",
  "eval_loss",
  "eval_rewards/accuracies",
  "eval_rewards/margins",
];

/** The card as Markdown with the front matter that the Hugging Face hub reads. */
export function modelCard({ base, loss, trained, data, options, metrics }: CardContent): string {
  const front = [
    // only a name on the hub is a base that others can find
    ...(/^[\w.-]+\/[\w.-]+$/.test(base) && !base.startsWith(".") ? [`base_model: ${base}`] : []),
    `library_name: ${trained === "adapter" ? "peft" : "transformers"}`,
    "tags:",
    ...["mipo", loss, "preference-optimization"].map((tag) => `  - ${tag}`),
  ];
  const rows = (entries: readonly (readonly [string, string])[]) =>
    entries.map(([key, value]) => `| ${key} | ${value} |`).join("\n");
  const settings = SHOWN.filter((key) => options[key] !== undefined && options[key] !== null)
    .map((key): [string, string] => [`\`${key}\``, String(options[key])]);
  const measured = MEASURED.filter((key) => Number.isFinite(metrics[key]))
    .map((key): [string, string] => [`\`${key}\``, shortNumber(metrics[key])]);
  return `---
${[...new Set(front)].join("\n")}
---

# ${trained === "adapter" ? "An adapter for" : "Trained from"} ${nameOf(base)} with ${loss}

Trained by mipo on ${data.rows.toLocaleString("en-US")} rows of ${data.name}.

| option | value |
| --- | --- |
${rows([["\`loss_type\`", loss], ...settings])}
${
    measured.length === 0 ? "" : `
| at the end | |
| --- | --- |
${rows(measured)}
`
  }`;
}

function nameOf(path: string): string {
  return /^[\w.-]+\/[\w.-]+$/.test(path) ? path : path.replace(/[/\\]+$/, "").split(/[/\\]/).at(-1) ?? path;
}
