/**
 * A run of a 20-million-parameter model with a vocabulary of 32,000 stays within 1.5 GB of resident memory on a
 * software adapter, where GPU memory is resident memory. In a process of its own, whose peak the system records.
 */
import { assert, assertEquals, assertLess } from "@std/assert";

const SCRIPT = `
import { writeModelDirectory } from "ROOT/lib/formats/huggingface.ts";
import { readTokenizerFiles } from "ROOT/lib/formats/model_files.ts";
import { parseModelConfig } from "ROOT/lib/model/families/mod.ts";
import { paramSpecs } from "ROOT/lib/model/table.ts";
import { Random } from "ROOT/lib/data/random.ts";
import { train } from "ROOT/mod.ts";

const config = {
  architectures: ["LlamaForCausalLM"], model_type: "llama", hidden_size: 256, intermediate_size: 704,
  num_hidden_layers: 8, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 32, vocab_size: 32000,
  rms_norm_eps: 1e-5, max_position_embeddings: 512, tie_word_embeddings: false, hidden_act: "silu",
  bos_token_id: 0, eos_token_id: 1, torch_dtype: "bfloat16",
};
const specs = paramSpecs(parseModelConfig(config, "config.json"));
const random = new Random(1);
const tensors = specs.map(({ name, shape, kind }) => ({
  name, shape,
  data: () => Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) },
    () => kind === "norm" ? 1 : 0.07 * (random.uniform() - 0.5)),
}));
await writeModelDirectory("model", { config, dtype: "BF16", tensors, tokenizerFiles: await readTokenizerFiles("FIXTURE") });
const word = () => "the copper garden measures a quiet sailor ".repeat(3);
const rows = Array.from({ length: 10 }, (_, i) =>
  JSON.stringify({ prompt: "Row " + i + ":", chosen: " yes " + word().repeat(1 + i % 4), rejected: " no " + word().repeat(4 - i % 4) }));
await Deno.writeTextFile("pairs.jsonl", rows.join("\\n") + "\\n");
let created = 0;
for (const name of ["createBuffer", "createTexture", "createBindGroup", "createComputePipeline"]) {
  const plain = GPUDevice.prototype[name];
  GPUDevice.prototype[name] = function (...args) {
    created++;
    return plain.apply(this, args);
  };
}
const createdAt = [];
const run = await train(
  { model: "model", data: "pairs.jsonl", max_steps: 10, batch_size: 1, max_length: 512, output_dir: "run" },
  { onEvent: (event) => event.type === "step" && createdAt.push(created) },
);
const status = await Deno.readTextFile("/proc/self/status");
console.log(JSON.stringify({
  parameters: specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
  losses: run.metrics.map((row) => row.loss),
  createdAt,
  tokens: run.metrics.map((row) => row.num_tokens),
  peakBytes: 1024 * Number(/VmHWM:\\s+(\\d+) kB/.exec(status)[1]),
}));
`;

Deno.test({
  name:
    "ten steps of a 20-million-parameter model stay below 1.5 GB resident and create nothing after the first",
  ignore: Deno.build.os !== "linux", // the peak is read from /proc
  fn: async () => {
    const dir = await Deno.makeTempDir();
    try {
      const root = new URL("../..", import.meta.url);
      const fixture = decodeURIComponent(new URL("tests/fixtures/llama/policy", root).pathname);
      const script = SCRIPT.replaceAll("ROOT", root.href.replace(/\/$/, "")).replace("FIXTURE", fixture);
      await Deno.writeTextFile(`${dir}/script.ts`, script);
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", "script.ts"],
        cwd: dir,
        env: { XDG_RUNTIME_DIR: dir, NO_COLOR: "1" },
      }).output();
      const text = new TextDecoder();
      assert(success, text.decode(stderr));
      const { parameters, losses, createdAt, peakBytes } = JSON.parse(text.decode(stdout));
      assert(parameters > 20e6, `${parameters} parameters`);
      assertEquals(losses.length, 10);
      assert(losses.every(Number.isFinite));
      assert(createdAt[0] > 100, "nothing was counted");
      assertEquals(createdAt, Array(10).fill(createdAt[0]), "a step created something on the GPU");
      assertLess(peakBytes, 1.5e9);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
