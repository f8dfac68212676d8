/**
 * Rows for `llama_cpp.mjs`: a model as a GGUF file, and the ids and the log-probabilities that it has here for some texts.
 *
 * ```text
 * deno run -A tests/golden/llama_cpp.ts MODEL OUT
 * npm install node-llama-cpp --prefix OUT && cp tests/golden/llama_cpp.mjs OUT
 * node OUT/llama_cpp.mjs OUT/model.gguf OUT/rows.json
 * ```
 */
import { exportModel } from "../../lib/commands/export.ts";
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { gpuLogits, gpuModel } from "../gpu_model.ts";

const TEXTS = [
  "the man said that he was here in 1999, ok",
  " hello  world<|eot_id|> x",
  "It's naïve: 12345 + 67 = ?\n\n  def f(x):\n\treturn x*2",
  "日本語テキスト and émojis 🎉🎉",
  "<|im_start|>user\nWhat is 2+2?<|im_end|>\n",
  "don't we'll I'VE  \r\n tabs\t\tend  ",
];

const [model, out] = Deno.args;
if (model === undefined || out === undefined) throw new Error("MODEL and OUT are needed.");
await Deno.mkdir(out, { recursive: true });
await exportModel({ model, format: "gguf", output: `${out}/model.gguf` });
const tokenizer = await loadTokenizer(model);
const gpu = await openGpu();
const params = await gpuModel(gpu, model, false);
const V = params.config.vocab_size;
const rows: { text: string; ids: number[]; logp: number }[] = [];
for (const text of TEXTS) {
  const ids = tokenizer.encode(text, { specialTokens: true });
  const logits = await gpuLogits(gpu, params, ids);
  let logp = 0;
  for (let t = 0; t + 1 < ids.length; t++) {
    const row = Float64Array.from(logits.subarray(t * V, (t + 1) * V));
    const max = row.reduce((a, b) => Math.max(a, b));
    logp += row[ids[t + 1]!]! - max - Math.log(row.reduce((sum, x) => sum + Math.exp(x - max), 0));
  }
  rows.push({ text, ids, logp });
}
await Deno.writeTextFile(`${out}/rows.json`, JSON.stringify(rows));
