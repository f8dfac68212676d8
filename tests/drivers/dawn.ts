/** Dawn's WebGPU, the implementation inside Chromium, in Deno: as the npm package `webgpu` brings it. */

/** Its `navigator.gpu`, by Dawn's own switches (`enable-dawn-features=...`); the classes of WebGPU become Dawn's. */
export async function openDawn(switches: readonly string[] = []): Promise<GPU> {
  const dawn = "npm:webgpu@0.6.2"; // no part of the lock file: nothing else needs it
  const { create, globals } = await import(dawn);
  Object.assign(globalThis, globals);
  return create(switches);
}
