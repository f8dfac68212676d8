/** Runs the suite in headless Chromium: bundles the page, serves it on the loopback address, and waits for its tally. */
import { readGoldens } from "./fixtures.ts";
import type { SuiteOptions, Tally } from "./suite.ts";

/** Where Debian, and others, put it. */
export const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** SwiftShader as the adapter: the same everywhere, and there without a GPU. */
const FLAGS = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
  "--no-sandbox", // as root there is none; the page is our own
];

export async function runInChromium(executablePath: string, options: SuiteOptions): Promise<Tally> {
  const dir = await Deno.makeTempDir();
  await bundle(`${dir}/page.js`);
  const server = serve(await Deno.readTextFile(`${dir}/page.js`), JSON.stringify(await readGoldens()));
  const playwright = "npm:playwright-core@1.65.1"; // no part of the lock file: nothing else needs it
  const { chromium } = await import(playwright);
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  try {
    const page = await browser.newPage();
    page.on("console", (message: { type(): string; text(): string }) => {
      if (message.type() === "error") console.error(message.text());
    });
    page.setDefaultTimeout(0); // the suite takes minutes
    await page.goto(`http://127.0.0.1:${server.addr.port}/`);
    return await page.evaluate(
      (given: SuiteOptions) =>
        (globalThis as unknown as { runSuiteInPage(o: unknown): Promise<Tally> }).runSuiteInPage(given),
      options,
    );
  } finally {
    await browser.close();
    await server.shutdown();
    await Deno.remove(dir, { recursive: true });
  }
}

async function bundle(output: string): Promise<void> {
  const page = decodeURIComponent(new URL("page.ts", import.meta.url).pathname);
  const args = ["bundle", "--quiet", "--no-lock", "--platform", "browser", "-o", output, page];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args, stderr: "piped" }).output();
  if (!success) throw new Error(`Bundling ${page} failed: ${new TextDecoder().decode(stderr)}`);
}

function serve(script: string, goldens: string) {
  const types: Record<string, [string, string]> = {
    "/": ['<!doctype html><meta charset="utf-8"><script type="module" src="page.js"></script>', "text/html"],
    "/page.js": [script, "text/javascript"],
    "/goldens.json": [goldens, "application/json"],
  };
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const [body, type] = types[new URL(request.url).pathname] ?? ["not found", "text/plain"];
    return new Response(body, { headers: { "content-type": type } });
  });
}
