/**
 * Safetensors, model directories, the hub: what is read is what was written, and what is wrong is named.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../lib/formats/dtype.ts";
import { openModelDirectory, writeModelDirectory } from "../../lib/formats/huggingface.ts";
import { readTokenizerFiles } from "../../lib/formats/model_files.ts";
import { openSafetensors, writeSafetensors } from "../../lib/formats/safetensors.ts";
import { InputError } from "../../lib/errors.ts";
import { inTempDir } from "../temp_dir.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url).pathname;

async function inTemporary(work: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir();
  try {
    await work(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

const floats = (...words: number[]) => new Float32Array(Uint32Array.from(words).buffer);
const words = (values: Float32Array) => [...new Uint32Array(values.buffer, values.byteOffset, values.length)];

Deno.test("float16: all 65,536 values widen and narrow to themselves", () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i), wide = new Float32Array(65536);
  f16ToF32(bits, wide);
  // The platform's own float16 is the judge.
  const judge = Float32Array.from(new Float16Array(bits.buffer));
  const back = new Uint16Array(65536);
  f32ToF16(wide, back);
  for (let i = 0; i < 65536; i++) {
    if (Number.isNaN(judge[i])) assert(Number.isNaN(wide[i]) && (back[i] & 0x7fff) > 0x7c00);
    else {
      assert(Object.is(wide[i], judge[i]), `${i}`);
      assertEquals(back[i], i);
    }
  }
});

Deno.test("a value that a format has no room for is refused by name, and nothing is written", async () => {
  await inTempDir(async (dir) => {
    const write = (dtype: "F16" | "BF16" | "F32", ...values: number[]) =>
      writeSafetensors(`${dir}/x`, [
        { name: "layers.0.up", shape: [values.length], dtype, data: Float32Array.from(values) },
      ]);
    const { message } = await assertRejects(() => write("F16", 1, 70000, 2), InputError);
    assertStringIncludes(message, "layers.0.up as F16: its element 1 is 70000");
    assertStringIncludes(message, "bf16");
    await assertRejects(() => write("F16", -65520), InputError);
    await assertRejects(() => write("BF16", 3.4e38), InputError);
    assertEquals([...Deno.readDirSync(dir)], []);
    await write("F16", 65519, -65504, Infinity, NaN);
    await write("BF16", 70000, 3.389e38, -Infinity);
    await write("F32", 3.4e38);
  });
});

Deno.test("float16: rounding is to nearest, ties to even, as the platform rounds", () => {
  // Every float16 boundary region: all upper halves with lower halves at, around and between ties.
  const values: number[] = [];
  for (let high = 0; high < 65536; high += 3) {
    for (const low of [0, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0xffff]) {
      values.push(((high << 16) | low) >>> 0);
    }
  }
  const input = new Float32Array(Uint32Array.from(values).buffer), ours = new Uint16Array(values.length);
  f32ToF16(input, ours);
  const judge = new Uint16Array(Float16Array.from(input).buffer);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isNaN(input[i])) assertEquals(ours[i], judge[i], `0x${values[i].toString(16)}`);
  }
});

Deno.test("bfloat16: widening is exact, narrowing rounds ties to even and keeps NaN and infinity", () => {
  const cases: [number, number][] = [
    [0x3f800000, 0x3f80],
    [0x3f808000, 0x3f80], // tie, even below
    [0x3f818000, 0x3f82], // tie, even above
    [0x3f808001, 0x3f81],
    [0x3f807fff, 0x3f80],
    [0x7f7fffff, 0x7f80], // rounds up to infinity
    [0xff800000, 0xff80],
    [0x7f800001, 0x7fc0], // a NaN whose kept bits are an infinity's
    [0x00000001, 0x0000],
    [0x00018000, 0x0002], // subnormal tie
    [0x80000000, 0x8000],
  ];
  const out = new Uint16Array(cases.length);
  f32ToBf16(floats(...cases.map(([x]) => x)), out);
  assertEquals([...out], cases.map(([, y]) => y));
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i), wide = new Float32Array(65536);
  bf16ToF32(bits, wide);
  assertEquals(words(wide), Array.from(bits, (b) => (b << 16) >>> 0));
});

Deno.test("safetensors: what was written is read, aligned and in a fixed order", () =>
  inTemporary(async (path) => {
    const values = floats(0x3f800000, 0x80000000, 0x7f800000, 0x00000001, 0xc0490fdb, 0x477fe000);
    const file = `${path}/x.safetensors`;
    await writeSafetensors(file, [
      { name: "half", shape: [2, 3], dtype: "F16", data: values },
      { name: "b", shape: [6], dtype: "F32", data: () => Promise.resolve(values) },
      { name: "a", shape: [3, 2], dtype: "BF16", data: () => values },
      { name: "none", shape: [0, 4], dtype: "F32", data: new Float32Array(0) },
      { name: "steps", shape: [1], dtype: "I64", data: new Uint8Array([7, 0, 0, 0, 0, 0, 0, 0]) },
      { name: "ids", shape: [2], dtype: "U32", data: Uint32Array.of(1, 0xffffffff) },
    ], { format: "pt", step: "7" });
    const opened = await openSafetensors(file);
    assertEquals([...opened.tensors.keys()], ["steps", "b", "ids", "none", "a", "half"]);
    assertEquals(opened.metadata, { format: "pt", step: "7" });
    for (const { byteOffset, dtype } of opened.tensors.values()) {
      assertEquals(byteOffset % { F32: 4, U32: 4, I64: 8 }[dtype as string]! || 0, 0);
    }
    const [b, a, half, none] = await Promise.all(["b", "a", "half", "none"].map((name) => opened.read(name)));
    assertEquals(words(b), words(values));
    assertEquals(words(a), [0x3f800000, 0x80000000, 0x7f800000, 0, 0xc0490000, 0x47800000]);
    assertEquals(words(half), [0x3f800000, 0x80000000, 0x7f800000, 0, 0xc0490000, 0x477fe000]);
    assertEquals(none.length, 0);
    assertEquals([...await opened.readBytes("steps")], [7, 0, 0, 0, 0, 0, 0, 0]);
    assertEquals([...new Uint32Array((await opened.readBytes("ids")).buffer)], [1, 0xffffffff]);
    await assertRejects(() => opened.read("ids"), InputError, 'tensor "ids" is stored as U32');
    await assertRejects(() => opened.read("c"), InputError, 'no tensor "c"');
    opened.close();
    assertEquals([...Deno.readDirSync(path)].map((entry) => entry.name), ["x.safetensors"]);
  }));

Deno.test("safetensors: a tensor of several pieces is converted whole", () =>
  inTemporary(async (path) => {
    const length = (1 << 23) + 5; // a piece is 2^24 bytes, 2^23 values of two bytes
    const values = Float32Array.from({ length }, (_, i) => i % 251 - 125);
    await writeSafetensors(`${path}/x`, [{ name: "x", shape: [length], dtype: "BF16", data: values }]);
    const file = await openSafetensors(`${path}/x`), read = await file.read("x");
    file.close();
    assert(values.every((value, i) => read[i] === value));
  }));

Deno.test("safetensors: a failed write leaves nothing behind", () =>
  inTemporary(async (path) => {
    const data = () => Promise.reject(new Error("lost"));
    const write = writeSafetensors(`${path}/x`, [{ name: "x", shape: [1], dtype: "F32", data }]);
    await assertRejects(() => write, Error, "lost");
    assertEquals([...Deno.readDirSync(path)], []);
  }));

function fileOf(header: unknown, dataBytes: number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const out = new Uint8Array(8 + text.length + dataBytes);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  return out;
}

Deno.test("safetensors: every lie of a header is named", async (t) => {
  const f32 = (begin: number, end: number, shape: unknown = [(end - begin) / 4]) => ({
    dtype: "F32",
    shape,
    data_offsets: [begin, end],
  });
  const cases: Record<string, [Uint8Array, string]> = {
    "too short": [new Uint8Array(5), "it has 5 bytes"],
    "header longer than the file": [fileOf({}, 0).fill(0xff, 0, 3), "its header claims 16777215 bytes"],
    "no JSON": [fileOf('{"a":', 0), "not JSON"],
    "no object": [fileOf("[]", 0), "not a JSON object"],
    "unknown dtype": [
      fileOf({ a: { ...f32(0, 4), dtype: "F4" } }, 4),
      'tensor "a" is stored as "F4", a dtype that is not known',
    ],
    "bad shape": [fileOf({ a: f32(0, 4, [-1]) }, 4), 'tensor "a" has no valid shape'],
    "bad offsets": [
      fileOf({ a: { ...f32(0, 4), data_offsets: [4, 0] } }, 4),
      'tensor "a" has no valid data_of',
    ],
    "shape against offsets": [fileOf({ a: f32(0, 8, [3]) }, 8), 'tensor "a" of F32 [3] needs 12 bytes'],
    "truncated": [fileOf({ a: f32(0, 4), b: f32(4, 8) }, 6), 'tensor "b" ends at byte'],
    "overlap": [fileOf({ a: f32(0, 8), b: f32(4, 12) }, 12), 'tensor "b" overlaps tensor "a"'],
    "hole": [fileOf({ a: f32(0, 4), b: f32(8, 12) }, 12), '4 bytes between tensor "a" and tensor "b"'],
    "rest": [fileOf({ a: f32(0, 4) }, 12), '8 bytes after tensor "a" belong to nothing'],
  };
  for (const [name, [bytes, message]] of Object.entries(cases)) {
    await t.step(name, () =>
      inTemporary(async (path) => {
        const file = `${path}/bad.safetensors`;
        await Deno.writeFile(file, bytes);
        const error = await assertRejects(() => openSafetensors(file), InputError, message);
        assertStringIncludes(error.message, file);
      }));
  }
  await assertRejects(() => openSafetensors("/nowhere/x"), InputError, "/nowhere/x: no such file");
});

Deno.test("model directory: single and sharded models are read, in float32, float16 and bfloat16", async () => {
  for (
    const [name, files, dtype] of [["llama", 1, "F32"], ["mistral", 2, "BF16"], ["llama3", 1, "F16"]] as const
  ) {
    const model = await openModelDirectory(`${FIXTURES}${name}/policy`);
    assertEquals(model.files.length, 1 + files); // config.json and the weights
    const { hidden_size, vocab_size, num_hidden_layers } = model.config as Record<string, number>;
    const embedding = model.tensors.get("model.embed_tokens.weight")!;
    assertEquals([embedding.dtype, ...embedding.shape], [dtype, vocab_size, hidden_size]);
    assert(model.tensors.has(`model.layers.${num_hidden_layers - 1}.self_attn.q_proj.weight`));
    const values = await model.read("model.embed_tokens.weight");
    assertEquals(values.length, vocab_size * hidden_size);
    // The fixtures' embeddings are drawn with a standard deviation of 0.5.
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    assert(deviation > 0.45 && deviation < 0.55, `${deviation}`);
    await assertRejects(() => model.read("nothing"), InputError, 'no tensor "nothing"');
    model.close();
  }
});

async function copyModel(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
}

Deno.test("model directory: what is missing or does not belong is named", () =>
  inTemporary(async (path) => {
    const source = `${FIXTURES}mistral/policy`, index = "model.safetensors.index.json";
    const broken = async (change: (model: string) => Promise<void>, message: string) => {
      const model = `${path}/${crypto.randomUUID()}`;
      await copyModel(source, model);
      await change(model);
      await assertRejects(() => openModelDirectory(model), InputError, message);
    };
    const editIndex = (edit: (map: Record<string, string>) => void) => async (model: string) => {
      const value = JSON.parse(await Deno.readTextFile(`${model}/${index}`));
      edit(value.weight_map);
      await Deno.writeTextFile(`${model}/${index}`, JSON.stringify(value));
    };
    const shard = "model-00002-of-00002.safetensors";
    await broken((m) => Deno.remove(`${m}/config.json`), "config.json: no such file");
    await broken((m) => Deno.writeTextFile(`${m}/config.json`, "{"), "config.json: not valid JSON");
    await broken((m) => Deno.remove(`${m}/${index}`), "neither model.safetensors nor");
    await broken((m) => Deno.remove(`${m}/${shard}`), `names the shard ${shard}, which is not there`);
    await broken((m) => Deno.truncate(`${m}/${shard}`, 30_000), `${shard}: not a whole safetensors file`);
    await broken(
      (m) =>
        Deno.writeTextFile(
          `${m}/${shard}`,
          "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        ),
      `${shard}: is a git-lfs pointer`,
    );
    // As in Transformers, what the shards hold counts: an index may lack tensors, and name some that are not there.
    const whole = await openModelDirectory(source);
    for (
      const edit of [
        editIndex((map) => delete map["model.norm.weight"]),
        editIndex((map) => map.extra = shard),
      ]
    ) {
      const model = `${path}/${crypto.randomUUID()}`;
      await copyModel(source, model);
      await edit(model);
      const opened = await openModelDirectory(model);
      assertEquals([...opened.tensors.keys()].sort(), [...whole.tensors.keys()].sort());
      assertEquals(await opened.read("model.norm.weight"), await whole.read("model.norm.weight"));
    }
    await broken(editIndex((map) => map.extra = "../x.safetensors"), "which is no safetensors file name");
    await assertRejects(() => openModelDirectory(`${path}/none`), InputError, "no such directory");
  }));

Deno.test("model directory: written whole with config, tokenizer and dtype, and never over another", () =>
  inTemporary(async (path) => {
    for (const name of ["llama", "mistral"]) {
      const source = await openModelDirectory(`${FIXTURES}${name}/policy`), target = `${path}/${name}/model`;
      await Deno.mkdir(`${path}/${name}`);
      const options = {
        config: source.config,
        dtype: "BF16" as const,
        tensors: [...source.tensors].map(([name, { shape }]) => ({
          name,
          shape,
          data: () => source.read(name),
        })),
        tokenizerFiles: await readTokenizerFiles(source.path),
      };
      await writeModelDirectory(target, options);
      const written = await openModelDirectory(target);
      const { dtype, torch_dtype, ...rest } = written.config;
      // Each keeps the key it came with.
      assertEquals(
        [dtype, torch_dtype],
        name === "llama" ? ["bfloat16", undefined] : [undefined, "bfloat16"],
      );
      const { dtype: _d, torch_dtype: _t, ...original } = source.config;
      assertEquals(rest, original);
      assertEquals([...written.tensors.keys()].sort(), [...source.tensors.keys()].sort());
      for (const tensor of source.tensors.keys()) {
        const [a, b] = await Promise.all([source.read(tensor), written.read(tensor)]);
        // bfloat16 keeps eight bits of the significand: half a unit of the last is 2^-9 of the value.
        assert(a.every((x, i) => Math.abs(x - b[i]) <= Math.abs(x) * (name === "llama" ? 2 ** -8 : 0)));
      }
      const template = await Deno.readTextFile(`${target}/tokenizer.json`);
      assertEquals(template, await Deno.readTextFile(`${source.path}/tokenizer.json`));
      await assertRejects(() => writeModelDirectory(target, options), InputError, "exists already");
      await writeModelDirectory(target, { ...options, replace: true });
      assertEquals([...Deno.readDirSync(`${path}/${name}`)].map((entry) => entry.name), ["model"]);
      written.close();
      source.close();
    }
  }));

Deno.test("model directory: a failed write leaves what was there", () =>
  inTemporary(async (path) => {
    const target = `${path}/model`;
    await Deno.mkdir(target);
    await Deno.writeTextFile(`${target}/mine`, "kept");
    const data = () => Promise.reject(new Error("lost"));
    const options = { config: {}, dtype: "F32" as const, tensors: [{ name: "x", shape: [1], data }] };
    await assertRejects(() => writeModelDirectory(target, { ...options, replace: true }), Error, "lost");
    assertEquals(await Deno.readTextFile(`${target}/mine`), "kept");
    assertEquals([...Deno.readDirSync(path)].length, 1);
  }));
