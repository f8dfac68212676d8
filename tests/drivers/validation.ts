/**
 * One training step under Vulkan's validation layer, synchronisation included: what wgpu hands the driver must have no
 * hazard and break no rule.
 */
import type { Tally } from "./suite.ts";

/** Chromium's folder has the layer; Debian's vulkan-validationlayers too. */
export const LAYERS = [
  "/usr/lib/chromium/libVkLayer_khronos_validation.so",
  "/usr/lib/x86_64-linux-gnu/libVkLayer_khronos_validation.so",
];

/**
 * naga 29 gives types that lie both in buffers and in variables one layout for both, which newer rules of SPIR-V forbid
 * (drivers ignore it there). No text of ours avoids it.
 */
const NAGA = /VUID-StandaloneSpirv-None-10684/;

/** Runs `run` with the layer's environment; what the layer reports fails. */
export async function underValidation(
  layer: string,
  run: (env: Record<string, string>) => Promise<Tally>,
): Promise<Tally> {
  const dir = await Deno.makeTempDir();
  try {
    const manifest = {
      file_format_version: "1.2.0",
      layer: {
        name: "VK_LAYER_KHRONOS_validation",
        type: "GLOBAL",
        library_path: layer,
        api_version: "1.3.0",
        implementation_version: "1",
        description: "Khronos validation layer",
      },
    };
    await Deno.writeTextFile(`${dir}/layer.json`, JSON.stringify(manifest));
    const settings = {
      validate_sync: "true",
      debug_action: "VK_DBG_LAYER_ACTION_LOG_MSG",
      report_flags: "error,warn",
      log_filename: `${dir}/log.txt`,
    };
    await Deno.writeTextFile(
      `${dir}/vk_layer_settings.txt`,
      Object.entries(settings).map(([key, value]) => `khronos_validation.${key} = ${value}\n`).join(""),
    );
    const tally = await run({
      VK_LAYER_PATH: dir,
      VK_INSTANCE_LAYERS: "VK_LAYER_KHRONOS_validation",
      VK_LAYER_SETTINGS_PATH: dir,
    });
    // The layer opens its log as it starts: without one it was not there.
    const log = await Deno.readTextFile(`${dir}/log.txt`);
    const found = log.split(/\n(?=Validation (?:Error|Warning))/)
      .filter((text) => /^Validation (Error|Warning)/.test(text) && !NAGA.test(text));
    for (const text of found) console.error(text);
    if (found.length === 0) return tally;
    return { ...tally, failed: [...tally.failed, { name: "validation layer", complaints: found }] };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
