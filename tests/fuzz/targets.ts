/**
 * Every reader of files that may come from anywhere, with a whole file to begin from. A reader may refuse (InputError),
 * and nothing else.
 */
import { evaluateOptions } from "../../lib/commands/evaluate.ts";
import { generateOptions } from "../../lib/commands/generate.ts";
import { trainOptions } from "../../lib/commands/train.ts";
import { readDataRows } from "../../lib/data/rows.ts";
import { tokeniseRow } from "../../lib/data/tokenise.ts";
import { loadTokenizer, type Tokenizer } from "../../lib/data/tokenizer.ts";
import { openModelDirectory } from "../../lib/formats/huggingface.ts";
import { openPeftDirectory } from "../../lib/formats/peft.ts";
import { openSafetensors } from "../../lib/formats/safetensors.ts";
import { nullGpu } from "../../lib/gpu/device.ts";
import { parseModelConfig } from "../../lib/model/families/mod.ts";
import { checkShapes } from "../../lib/model/params.ts";
import { readConfig } from "../../lib/options/config_file.ts";
import { readRun, reportHtml } from "../../lib/report/html.ts";
import { verifyCheckpoint } from "../../lib/train/checkpoint.ts";
import { ReferenceFile } from "../../lib/train/reference_file.ts";
import { MetricsFile } from "../../lib/train/run_dir.ts";
import { readChoices } from "../../lib/tuning/cache.ts";
import { fixturePath } from "../reference/fixture.ts";

/** One kind of file and what reads it. */
export interface Target {
  readonly name: string;
  /** The directory that is copied, and the file in it that is damaged. */
  readonly folder: string;
  readonly file: string;
  /** Reads; `dir` is the copy. */
  read(dir: string): Promise<void>;
  /** Whether any damage at all must be refused. */
  readonly strict?: boolean;
}

const llama = fixturePath("llama/policy"), mistral = fixturePath("mistral/policy");

async function readModel(dir: string): Promise<void> {
  const directory = await openModelDirectory(dir);
  checkShapes(parseModelConfig({ ...directory.config }, `${dir}/config.json`), {
    where: dir,
    tensors: directory.tensors,
  });
  for (const name of [...directory.tensors.keys()].slice(0, 3)) await directory.read(name);
}

async function useTokenizer(dir: string): Promise<void> {
  const tokenizer = await loadTokenizer(dir);
  const ids = tokenizer.encode("Once upon a time, the copper captain's 12 windows… é\n", {
    specialTokens: true,
  });
  tokenizer.decode(ids);
  ids.slice(0, 4).forEach((id) => tokenizer.tokenText(id));
  if (tokenizer.chatTemplate === undefined) return;
  tokenizer.renderChat([{ role: "user", content: "Hi" }, { role: "assistant", content: "Ho" }]);
  tokenizer.renderChat([{ role: "user", content: "Hi" }], { addGenerationPrompt: true });
}

let known: Promise<Tokenizer> | undefined;

async function readAll(path: string): Promise<void> {
  const tokenizer = await (known ??= loadTokenizer(llama));
  for await (const row of readDataRows(path)) tokeniseRow(row, { tokenizer, maxLength: 256 });
}

async function readOptions(path: string): Promise<void> {
  const file = await readConfig(path);
  for (const options of [trainOptions, generateOptions, evaluateOptions]) {
    try {
      options.given({ file, fileName: path });
    } catch (error) {
      if ((error as Error).name !== "InputError") throw error;
    }
  }
}

/** The targets; `made` holds what has no fixture: a run directory, files of rows, options, kernel choices. */
export function targets(made: string): Target[] {
  const one = (name: string, file: string, read: Target["read"], rest: Partial<Target> = {}): Target => ({
    name,
    folder: `${made}/${name}`,
    file,
    read,
    ...rest,
  });
  const checkpoint = (file: string) =>
    one(`checkpoint ${file}`, file, async (dir) => void await verifyCheckpoint(dir), {
      folder: `${made}/run/checkpoint-2`,
      strict: true,
    });
  return [
    one("safetensors", "model.safetensors", async (dir) => {
      const file = await openSafetensors(`${dir}/model.safetensors`);
      for (const [name, { dtype }] of [...file.tensors].slice(0, 4)) {
        if (/^(F32|F16|BF16)$/.test(dtype)) await file.read(name);
        else await file.readBytes(name);
      }
    }, { folder: llama }),
    one("index", "model.safetensors.index.json", readModel, { folder: mistral }),
    one("config", "config.json", readModel, { folder: llama }),
    one("tokenizer", "tokenizer.json", useTokenizer, { folder: llama }),
    one("tokenizer config", "tokenizer_config.json", useTokenizer, { folder: llama }),
    one("template", "chat_template.jinja", useTokenizer, { folder: llama }),
    one("adapter config", "adapter_config.json", async (dir) => void await openPeftDirectory(dir), {
      folder: fixturePath("llama/adapter"),
    }),
    ...["rows.jsonl", "rows.json", "rows.jsonl.gz", "pairs.parquet", "chat.parquet", "chat.jsonl"].map((
      file,
    ) => one(file, file, (dir) => readAll(`${dir}/${file}`))),
    one("options", "options.json", (dir) => readOptions(`${dir}/options.json`)),
    one("options yaml", "options.yaml", (dir) => readOptions(`${dir}/options.yaml`)),
    ...["trainer_state.json", "optimizer.safetensors", "model.safetensors", "metrics.jsonl", "config.json"]
      .map(
        checkpoint,
      ),
    one("reference", "reference.jsonl", async (dir) => {
      const key =
        JSON.parse((await Deno.readTextFile(`${made}/run/reference.jsonl`)).split("\n")[0]!).reference;
      await ReferenceFile.open(`${dir}/reference.jsonl`, { key, sides: () => 2 });
    }, { folder: `${made}/run` }),
    one("metrics", "metrics.jsonl", async (dir) => {
      reportHtml(await readRun(dir));
      await MetricsFile.open(dir, await Deno.readTextFile(`${made}/run/metrics.jsonl`));
    }, { folder: `${made}/run` }),
    one("report config", "config.json", async (dir) => void reportHtml(await readRun(dir)), {
      folder: `${made}/run`,
    }),
    one("report samples", "samples.json", async (dir) => void reportHtml(await readRun(dir)), {
      folder: `${made}/run`,
    }),
    one("kernel choices", "tune.json", async (dir) => void await readChoices(nullGpu(), `${dir}/tune.json`)),
  ];
}
