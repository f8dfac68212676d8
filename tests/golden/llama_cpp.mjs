/**
 * llama.cpp itself as the judge of a GGUF file that mipo wrote: the same ids, and equal log-probabilities; see `llama_cpp.ts`.
 */
import { readFileSync } from "node:fs";

// no package of this repository: it is found where this script was copied to
const PACKAGE = "node-llama-cpp";
const { getLlama } = await import(PACKAGE);
const [file, rowsFile] = process.argv.slice(2);
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath: file });
const cache = { experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" };
const context = await model.createContext({
  contextSize: 256,
  sequences: 1,
  flashAttention: false,
  ...cache,
});
const sequence = context.getSequence();
let worst = 0;
const rows = JSON.parse(readFileSync(rowsFile, "utf8"));
for (const { text, ids: wanted, logp } of rows) {
  await sequence.clearHistory();
  const bos = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
  const ids = [...bos, ...model.tokenize(text, true)];
  if (ids.join() !== wanted.join()) throw new Error(`${JSON.stringify(text)}: ${ids}, expected ${wanted}`);
  const out = await sequence.controlledEvaluate(
    ids.map((id) => [id, { generateNext: { probabilities: true } }]),
  );
  const sum = ids.slice(1).reduce((sum, id, i) => sum + Math.log(out[i].next.probabilities.get(id)), 0);
  worst = Math.max(worst, Math.abs(sum / logp - 1));
}
console.log(`${rows.length} texts: the same ids, log-probabilities within ${worst.toExponential(1)}`);
if (!(worst < 1e-4)) process.exit(1);
process.exit(0);
