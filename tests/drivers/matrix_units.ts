/**
 * What Dawn offers of an adapter's matrix units, and whether its driver compiles the smallest product on them; the
 * compilation in a process of its own, since it has ended one. See bench/MATRIX_UNITS.md.
 *
 * ```sh
 * deno run --no-lock --allow-all tests/drivers/matrix_units.ts
 * ```
 */

import { openDawn } from "./dawn.ts";

const FEATURE = "chromium-experimental-subgroup-matrix" as string as GPUFeatureName;
/** Both are behind switches: the feature, and f16 on NVIDIA. */
const SWITCHES = ["enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia"];

/** What `GPUAdapterInfo.subgroupMatrixConfigs` lists. */
interface MatrixConfig {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly componentType: string;
  readonly resultComponentType: string;
}

/** A product of one matrix each, read from and written to memory. */
function smallest({ M, N, K, componentType, resultComponentType }: MatrixConfig): string {
  const [left, right] = [
    `subgroup_matrix_left<${componentType}, ${K}, ${M}>`,
    `subgroup_matrix_right<${componentType}, ${N}, ${K}>`,
  ];
  return `enable f16;
enable chromium_experimental_subgroup_matrix;
@group(0) @binding(0) var<storage, read> a: array<${componentType}>;
@group(0) @binding(1) var<storage, read> b: array<${componentType}>;
@group(0) @binding(2) var<storage, read_write> c: array<${resultComponentType}>;
@compute @workgroup_size(32)
fn main() {
  let x = subgroupMatrixLoad<${left}>(&a, 0u, false, ${K}u);
  let y = subgroupMatrixLoad<${right}>(&b, 0u, false, ${N}u);
  let z = subgroupMatrixMultiplyAccumulate(x, y, subgroup_matrix_result<${resultComponentType}, ${N}, ${M}>());
  subgroupMatrixStore(&c, 0u, z, false, ${N}u);
}`;
}

/** Dawn's adapter; what it says of matrix units is in no standard yet. */
type DawnAdapter = Omit<GPUAdapter, "info"> & {
  readonly info: GPUAdapterInfo & { readonly subgroupMatrixConfigs: Iterable<MatrixConfig> };
};

async function dawnAdapter(): Promise<DawnAdapter | null> {
  const gpu = await openDawn(SWITCHES);
  return await gpu.requestAdapter({ powerPreference: "high-performance" }) as DawnAdapter | null;
}

/** Compiles one configuration's product; says what the compiler says. */
async function compile(index: number): Promise<void> {
  const adapter = await dawnAdapter();
  const config = [...adapter!.info.subgroupMatrixConfigs][index]!;
  const device = await adapter!.requestDevice({
    requiredFeatures: [FEATURE, "shader-f16", "subgroups"],
  });
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: smallest(config) });
  device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  const error = await device.popErrorScope();
  console.log(error ? error.message : "compiles");
}

async function probe(): Promise<void> {
  const adapter = await dawnAdapter();
  if (!adapter) return console.log("Dawn finds no adapter.");
  console.log(`adapter: ${adapter.info.description || adapter.info.device}`);
  if (!adapter.features.has(FEATURE)) {
    return console.log(`It does not offer ${FEATURE}.`);
  }
  const configs = [...adapter.info.subgroupMatrixConfigs];
  for (const [i, { M, N, K, componentType, resultComponentType }] of configs.entries()) {
    const { code, stdout, stderr, signal } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-lock", "--allow-all", import.meta.url, String(i)],
    }).output();
    const said = new TextDecoder().decode(code === 0 ? stdout : stderr).trim();
    const outcome = signal ? `the compiler ended the process (${signal})` : said;
    console.log(`${M}x${N}x${K} ${componentType}, sums in ${resultComponentType}: ${outcome}`);
  }
}

if (Deno.args[0] === undefined) await probe();
else await compile(Number(Deno.args[0]));
Deno.exit(0); // Dawn's threads would keep the process
