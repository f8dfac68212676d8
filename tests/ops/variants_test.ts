/**
 * The goldens for every variant: the whole network's gradients with each matrix product forced in turn, and with the
 * kernels that a GPU would get, on whatever adapter is here.
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { loadExamples } from "../../lib/data/examples.ts";
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import { openSafetensors } from "../../lib/formats/safetensors.ts";
import { KernelChoices } from "../../lib/gpu/choices.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { createObjective } from "../../lib/losses/mod.ts";
import { matmulOp } from "../../lib/ops/matmul_variants.ts";
import { knownReferences } from "../../lib/train/reference.ts";
import { type ComputeOptions, destroyParams, gpuGradients, gpuModel } from "../gpu_model.ts";
import { checkGolden, headGolden } from "../drivers/golden.ts";
import { difference, testGpu } from "../harness.ts";
import { type Expected, fixtureJson, fixtureNames, fixturePath } from "../reference/fixture.ts";

/** The same device, with kernel choices of its own. */
function withOwnChoices(gpu: Gpu): Gpu {
  return { ...gpu, choices: new KernelChoices() };
}

/** A gradient, the classes of its products, and how far its worst parameter is from PyTorch's, in norm. */
async function worstGradient(gpu: Gpu, name: string, options: ComputeOptions = {}) {
  const classes = new Set<string>();
  matmulOp.observe(gpu, (key) => classes.add(key));
  const params = await gpuModel(gpu, fixturePath(`${name}/policy`));
  const expected = await fixtureJson<Expected>(`${name}/expected.json`);
  const tokenizer = await loadTokenizer(fixturePath(`${name}/policy`));
  const { examples } = await loadExamples(fixturePath(`${name}/pairs.jsonl`), { tokenizer });
  const references = knownReferences(examples.map(({ index }) => {
    const { ref_chosen_logp, ref_rejected_logp } = expected.pairs[index]!;
    return [ref_chosen_logp, ref_rejected_logp];
  }));
  const objective = createObjective({ loss_type: "mipo", ...expected.losses.mipo!.parameters });
  const set = { examples, references };
  const { gradients } = await gpuGradients(gpu, params, { set, objective, ...options });
  destroyParams(params);
  let worst = 0;
  const golden = await openSafetensors(fixturePath(`${name}/gradients.mipo.safetensors`));
  for (const tensor of golden.tensors.keys()) {
    const { relative } = difference(gradients.get(tensor)!, await golden.read(tensor));
    if (!(relative <= worst)) worst = relative; // a NaN stays
  }
  golden.close();
  return { classes, worst, gradients };
}

for (const name of fixtureNames) {
  Deno.test(`${name}: the kernels for GPUs give PyTorch's gradients, too`, async () => {
    const gpu: Gpu = { ...await testGpu(), adapterClass: "gpu" };
    assertLess((await worstGradient(gpu, name)).worst, 5e-5);
    assertLess((await worstGradient(gpu, name, { checkpointing: true })).worst, 5e-5);
  });
}

for (const K of [64, 128, 256]) {
  for (const adapterClass of ["software", "gpu"] as const) {
    Deno.test(`heads of ${K}, as Llama and Mistral have: the kernels for ${adapterClass} adapters give float64's gradients`, async () => {
      const gpu: Gpu = { ...await testGpu(), adapterClass };
      for (const window of [null, 20]) assertEquals(await checkGolden(gpu, headGolden(K, window)), []);
    });
  }
}

Deno.test("under bf16 both families of kernels round alike", async () => {
  const software = await testGpu();
  for (const name of ["llama", "qwen2"] as const) {
    const one = await worstGradient(software, name, { compute: "bf16" });
    const other = await worstGradient({ ...software, adapterClass: "gpu" }, name, { compute: "bf16" });
    // Rounding to 8 bits moves these tiny models' gradients by some per cent.
    assert(one.worst > 1e-3 && one.worst < 0.1, `${name}: ${one.worst}`);
    for (const [tensor, values] of one.gradients) {
      // Sums in another order round some inputs of later products the other way: far less than the rounding itself.
      assertLess(difference(other.gradients.get(tensor)!, values).relative, 4e-3, `${name} ${tensor}`);
    }
  }
});

Deno.test("llama and mistral: every variant of the matrix product gives PyTorch's gradients", async () => {
  const shared = await testGpu();
  for (const name of ["llama", "mistral"] as const) {
    const { classes } = await worstGradient(withOwnChoices(shared), name);
    assert(classes.size > 5);
    for (const { name: variant } of matmulOp.candidates) {
      const gpu = withOwnChoices(shared);
      // a product that the variant does not support keeps its default
      for (const key of classes) matmulOp.prefer(gpu, key, variant);
      assertLess((await worstGradient(gpu, name)).worst, 5e-5, `${name} ${variant}`);
    }
  }
});
