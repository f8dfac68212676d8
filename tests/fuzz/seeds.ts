/** Makes the whole files that have no fixture: a run, files of rows, options, kernel choices, a GGUF file. */
import { train } from "../../lib/commands/train.ts";
import { fixturePath } from "../reference/fixture.ts";

async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Writes them below `made`; each kind in a folder of its own. */
export async function makeSeeds(made: string): Promise<void> {
  const write = async (folder: string, file: string, contents: string | Uint8Array) => {
    await Deno.mkdir(`${made}/${folder}`, { recursive: true });
    const bytes = typeof contents === "string" ? new TextEncoder().encode(contents) : contents;
    await Deno.writeFile(`${made}/${folder}/${file}`, bytes);
  };
  const pairs = fixturePath("llama/pairs.jsonl");
  await train({
    ...{ model: fixturePath("llama/policy"), data: pairs, eval_data: pairs, output_dir: `${made}/run` },
    ...{ max_steps: 2, save_steps: 2, batch_size: 2, tune: false },
  });
  const rows = (await Deno.readTextFile(pairs)).trim().split("\n").slice(0, 4);
  await write("rows.jsonl", "rows.jsonl", rows.join("\n") + "\n");
  await write("rows.json", "rows.json", `[${rows.join(",\n")}]`);
  await write("rows.jsonl.gz", "rows.jsonl.gz", await gzip(new TextEncoder().encode(rows.join("\n"))));
  for (const name of ["pairs.parquet", "chat.parquet"]) {
    await write(name, name, await Deno.readFile(fixturePath(`parquet/${name}`)));
  }
  const chat = (await Deno.readTextFile(fixturePath("llama/chat.jsonl"))).split("\n").slice(0, 3);
  await write("chat.jsonl", "chat.jsonl", chat.join("\n"));
  const options = {
    model: "m",
    data: "d",
    loss_type: "dpo",
    beta: 0.1,
    max_steps: 3,
    shuffle: false,
    seed: 7,
  };
  await write("options", "options.json", JSON.stringify(options, null, 2));
  const yaml = Object.entries(options).map(([key, value]) => `${key}: ${value}`);
  await write(
    "options yaml",
    "options.yaml",
    `# a run\n${yaml.join("\n")}\nlora_target_modules: [q_proj, "v_proj"]\n`,
  );
  const choice = { variant: "block_64", ms: 1.5, default_ms: 2, complete: true };
  const entry = { version: "0.1.0", kernels: "0", choices: { "matmul nt f32 6 6 6": choice } };
  const adapters = { "no device (planning only)": entry };
  await write("kernel choices", "tune.json", JSON.stringify({ format: "mipo kernel choices, 1", adapters }));
}
