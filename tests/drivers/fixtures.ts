/** The fixtures' goldens as plain data. */
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import { fixtureJson, fixtureNames, fixturePath, fixtureWeights, loadFixture } from "../reference/fixture.ts";
import type { Golden } from "./golden.ts";

export async function readGoldens(): Promise<Golden[]> {
  return await Promise.all(fixtureNames.map(async (name): Promise<Golden> => {
    const { expected, pairs, policy } = await loadFixture(name);
    const tokenizer = await loadTokenizer(fixturePath(`${name}/policy`));
    return {
      name,
      config: await fixtureJson<Record<string, unknown>>(`${name}/policy/config.json`),
      weights: plain(policy),
      examples: pairs.map(({ prompt, completions }) => ({
        prompt: [...prompt],
        completions: completions.map((ids) => [...ids]),
      })),
      references: expected.pairs.map((pair) => [pair.ref_chosen_logp, pair.ref_rejected_logp]),
      beta: expected.losses.mipo!.parameters.beta!,
      greedy: expected.greedy.map(({ prompt, new_ids }) => ({
        prompt: [...tokenizer.encode(prompt, { specialTokens: true })],
        tokens: new_ids,
      })),
      gradients: plain(await fixtureWeights(`${name}/gradients.mipo.safetensors`)),
    };
  }));
}

function plain(tensors: Map<string, ArrayLike<number>>): Record<string, number[]> {
  return Object.fromEntries([...tensors].map(([name, values]) => [name, Array.from(values)]));
}
