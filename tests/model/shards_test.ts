import { assert, assertLess, assertThrows } from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import { checkFinite } from "../../lib/model/shards.ts";

const found = { name: "w", where: "model" };

for (const [format, exponent] of [["bf16", 0x7f80], ["f16", 0x7c00]] as const) {
  Deno.test(`every number of ${format} is told from what is none, in both halves of a word and at a ragged end`, () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const finite = (bits & exponent) !== exponent;
      for (const at of [0, 1, 2]) {
        const values = new Uint16Array([0x3c00, 0xbc01, 0x8000]);
        values[at] = bits;
        if (finite) checkFinite(values, { ...found, exponent });
        else assertThrows(() => checkFinite(values, { ...found, exponent }), InputError, `element ${at}.`);
      }
    }
  });
}

Deno.test("infinite and NaN are found among float32 values, by their place", () => {
  const values = new Float32Array(1000).map((_, i) => i % 2 ? 3.4e38 : -1e-45);
  checkFinite(values, found);
  for (const [value, at] of [[NaN, 0], [Infinity, 999], [-Infinity, 500]] as const) {
    const broken = values.slice();
    broken[at] = value;
    assertThrows(() => checkFinite(broken, found), InputError, `w holds ${value} at element ${at}.`);
  }
});

const SCRIPT = `
import { openGpu, readBuffer } from "ROOT/lib/gpu/device.ts";
import { createShards, writeShards } from "ROOT/lib/model/shards.ts";

const gpu = await openGpu();
const shape = [4096, 2048];
const groups = Array.from({ length: 12 }, (_, i) => {
  const key = "w" + i;
  return { key, shape, members: [{ name: key, shape }], decay: true, trained: false };
});
const store = createShards(gpu, groups);
const values = new Float32Array(4096 * 2048).fill(1);
const tensors = new Map(groups.map(({ key }) => [key, { shape }]));
await writeShards(gpu, store, { where: "here", tensors, read: () => Promise.resolve(values) });
await readBuffer(gpu, store.shards.at(-1).param.place.buffer, { offset: 0, sizeBytes: 16 });
const status = await Deno.readTextFile("/proc/self/status");
console.log(gpu.adapterClass, 1024 * Number(/VmHWM:\\s+(\\d+) kB/.exec(status)[1]));
`;

Deno.test({
  name: "what has been written to the adapter does not stay in the host's memory until all is written",
  ignore: Deno.build.os !== "linux", // the peak is read from /proc
  fn: async () => {
    const root = new URL("../..", import.meta.url).href.replace(/\/$/, "");
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-lock", SCRIPT.replaceAll("ROOT", root)],
      env: { NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder();
    assert(success, text.decode(stderr));
    const [adapter, peakBytes] = text.decode(stdout).trim().split(" ");
    const weights = 12 * 4096 * 2048 * 4;
    // a software adapter's buffers are the host's memory, too
    assertLess(Number(peakBytes), (adapter === "software" ? weights : 0) + 350e6);
  },
});
