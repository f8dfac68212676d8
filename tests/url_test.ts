/**
 * A single-file script in an empty folder, with an empty cache, that imports `mod.ts` over HTTP and trains two steps
 * with permissions to import, read and write files, and nothing else.
 */
import { assert, assertEquals } from "@std/assert";
import { fixturePath } from "./reference/fixture.ts";
import { serveRepository } from "./serve_repository.ts";

Deno.test("a script imports mod.ts by URL and trains, with file and import permissions only", async () => {
  const server = serveRepository();
  const dir = await Deno.makeTempDir();
  try {
    const host = `127.0.0.1:${server.addr.port}`;
    await Deno.writeTextFile(
      `${dir}/script.ts`,
      `import { train } from "http://${host}/mod.ts";
      const run = await train({
        model: ${JSON.stringify(fixturePath("llama/policy"))},
        data: ${JSON.stringify(fixturePath("llama/pairs.jsonl"))},
        max_steps: 2, batch_size: 4, max_length: 256, output_dir: "run",
      });
      console.log(JSON.stringify(run.metrics.map((row) => row.loss)));`,
    );
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", `--allow-import=${host}`, "--allow-read", "--allow-write", "script.ts"],
      cwd: dir,
      env: { DENO_DIR: `${dir}/cache`, XDG_RUNTIME_DIR: dir, NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder();
    assert(success, text.decode(stderr));
    const losses = JSON.parse(text.decode(stdout)) as number[];
    assertEquals(losses.length, 2);
    assert(losses.every((loss) => loss > 0));
    assert((await Deno.stat(`${dir}/run/model/model.safetensors`)).isFile);
  } finally {
    await Deno.remove(dir, { recursive: true });
    await server.shutdown();
  }
});
