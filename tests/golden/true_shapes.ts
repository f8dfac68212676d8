/**
 * Holds the adapter's gradients to those of `true_shapes.py`: layers of their true sizes, the base in bf16, or quantised on
 * the way.
 *
 * ```text
 * deno run -A tests/golden/true_shapes.ts OUT [q4_0|q8_0]
 * ```
 *
 * On llvmpipe, with bindings of 128 MiB, the largest relative difference in norm is 1.2e-5 for Mistral's shapes and 1.1e-5
 * for Llama 3's in q4_0 (embedding and head of 296 MB each), and 1.3e-5 for Mistral's in q8_0.
 */
import { openSafetensors } from "../../lib/formats/safetensors.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { loadWeights, openModel } from "../../lib/load/model.ts";
import type { BaseDtype } from "../../lib/load/storage.ts";
import { createObjective } from "../../lib/losses/mod.ts";
import { gpuGradients } from "../gpu_model.ts";
import { difference } from "../harness.ts";

const [out, dtype = "auto"] = Deno.args as [string?, BaseDtype?];
if (out === undefined) throw new Error("The folder that true_shapes.py wrote is missing.");
const { ids, prompt } = JSON.parse(await Deno.readTextFile(`${out}/tokens.json`));
const gpu = await openGpu();
const model = await openModel(`${out}/adapter`);
const params = await loadWeights(gpu, model, { trainable: true, dtype });
const stored = params.shards.map(({ param }) => `${param.dtype} ${Math.ceil(param.sizeBytes / 1e6)} MB`);
console.log(
  `${gpu.name}, bindings of ${gpu.limits.maxStorageBufferBindingSize / 2 ** 20} MiB; shards: ${
    stored.join(", ")
  }`,
);
const examples = [{ index: 0, prompt: ids.slice(0, prompt), completions: [ids.slice(prompt)] }];
const start = performance.now();
const { gradients } = await gpuGradients(gpu, params, {
  set: { examples, references: null },
  objective: createObjective({ loss_type: "sft" }),
  checkpointing: true,
});
const golden = await openSafetensors(`${out}/gradients.safetensors`);
let worst = 0;
for (const name of golden.tensors.keys()) {
  const { relative } = difference(gradients.get(name)!, await golden.read(name));
  if (!(relative <= worst)) worst = relative;
  if (!(relative < 1e-3)) console.log(`${name}: ${relative}`);
}
console.log(
  `${gradients.size} gradients, the largest relative difference in norm ${worst.toPrecision(3)}, ` +
    `${((performance.now() - start) / 1000).toFixed(1)} s`,
);
if (!(worst < 1e-3)) Deno.exit(1);
