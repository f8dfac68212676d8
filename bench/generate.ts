/** Greedy tokens per second, alone and sixteen at a time, and Transformers on the same prompt; the products' rates. */
import type { Gpu } from "../lib/gpu/device.ts";
import { destroyParams } from "../lib/model/params.ts";
import { Generator } from "../lib/generate/generator.ts";
import { loadWeights, openTokenizer } from "../lib/load/model.ts";
import { tickNanoseconds } from "../lib/gpu/stopwatch.ts";
import { productRows } from "./decode_products.ts";
import { PythonPeer } from "./peer.ts";
import type { Report } from "./row.ts";
import type { Workload } from "./workload.ts";

export interface GenerateBenchOptions {
  readonly rounds: number;
  readonly workload: Pick<Workload, "name" | "model">;
  readonly prompt: string;
  readonly newTokens: number;
  /** Sequences at a time. */
  readonly batches?: readonly number[];
  /** A Python with torch and transformers. */
  readonly python?: string;
}

interface PeerRound {
  readonly seconds: number;
  readonly tokens: number;
  readonly ids: readonly number[];
}

export async function generateSuite(gpu: Gpu, report: Report, options: GenerateBenchOptions): Promise<void> {
  const { workload: { model, name }, rounds, newTokens, python } = options;
  const batches = options.batches ?? [1, 16];
  const tokenizer = await openTokenizer(model);
  const prompt = tokenizer.encode(options.prompt, { specialTokens: true });
  // as the task loads them: blocks and 16 bits as the file has them
  const params = await loadWeights(gpu, model, { trainable: false, settled: true, dtype: "auto" });
  const positions = prompt.length + newTokens;
  const max = Math.max(...batches);
  const generator = await Generator.create(gpu, params, { slots: max, positions });
  const peer = python ? await startPeer(python, options) : undefined;
  const ours = batches.map((): number[] => []);
  const theirs = batches.map((): number[] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, count] of batches.entries()) {
      const start = performance.now();
      const results = await generator.generate(Array.from({ length: count }, () => prompt), {
        maxNewTokens: newTokens,
        temperature: 0,
        topK: 0,
        topP: 1,
        seed: 0,
        eosIds: [],
      });
      const seconds = (performance.now() - start) / 1000;
      const made = results.reduce((sum, { tokens }) => sum + tokens.length, 0);
      if (round >= 0) ours[i]!.push(made / seconds);
      if (!peer) continue;
      const found = await peer.ask<PeerRound>(`go ${count}`);
      if (round >= 0) theirs[i]!.push(found.tokens / found.seconds);
      const same = found.ids.findIndex((id, k) => id !== results[0]!.tokens[k]);
      if (round < 0 && i === 0 && same >= 0) {
        report.note(`Transformers' tokens differ from position ${same} of ${newTokens} on`);
      }
    }
  }
  await peer?.end();
  batches.forEach((count, i) => {
    const row = {
      case: `${name}, ${count} at a time, ${prompt.length} + ${newTokens} tokens, greedy`,
      unit: "tokens/s",
      samples: ours[i]!,
    };
    if (peer) report.add({ ...row, case: `Transformers generate, ${count} at a time`, samples: theirs[i]! });
    report.add(peer ? { ...row, peer: "Transformers", peer_value: Math.max(...theirs[i]!) } : row);
  });
  generator.destroy();
  if (await tickNanoseconds(gpu) !== null) await productRows(gpu, params, { report, rounds, batches });
  destroyParams(params);
}

async function startPeer(
  python: string,
  { workload, prompt, newTokens }: GenerateBenchOptions,
): Promise<PythonPeer> {
  const peer = new PythonPeer(python, "transformers_generate.py", [
    ...["--model", workload.model.path, "--prompt", prompt, "--new-tokens", String(newTokens)],
  ]);
  await peer.read();
  return peer;
}
