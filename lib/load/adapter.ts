/**
 * The adapter, opened, with the kernels that earlier tuning found for it.
 */
import type { RunHooks } from "../events.ts";
import { closeGpu, type Gpu, openGpu } from "../gpu/device.ts";
import { setPace } from "../tuning/pace.ts";
import { applyCached } from "../tuning/prepare.ts";

/** Opens the adapter and says which one it is. */
export async function openAdapter({ onEvent }: RunHooks): Promise<Gpu> {
  const gpu = await openGpu();
  await setPace(gpu);
  const kind = gpu.adapterClass === "software"
    ? " (a software adapter: no GPU was found, computing on the CPU)"
    : "";
  onEvent?.({ type: "notice", text: `adapter: ${gpu.name}${kind}` });
  return gpu;
}

/** Opens the adapter for the time of `work`. */
export async function withAdapter<T>(hooks: RunHooks, work: (gpu: Gpu) => Promise<T>): Promise<T> {
  const gpu = await openAdapter(hooks);
  try {
    await applyCached(gpu, hooks);
    return await work(gpu);
  } finally {
    closeGpu(gpu);
  }
}

/** What computed a result, to its last bit: the adapter and the kernels that tuning chose on it. */
export function computedBy({ name, choices }: Gpu): string {
  const chosen = [...choices.variants].map(([key, variant]) => `${key}: ${variant}`).sort();
  return `computed on ${name} with ` +
    (chosen.length === 0
      ? "the default kernels"
      : `tuned kernels, which settle the last bits (${chosen.join(", ")})`);
}
