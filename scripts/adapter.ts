/** Exit status 0 where Vulkan offers a WebGPU adapter, 1 where it does not: asked by `setup.sh`. */
const adapter = await navigator.gpu?.requestAdapter();
if (!adapter) Deno.exit(1);
console.error(`adapter: ${adapter.info.description || adapter.info.device || adapter.info.vendor}`);
Deno.exit(0);
