/** The short form of `deno task fuzz`: damaged files for every reader, always the same ones. */
import { assert, assertEquals } from "@std/assert";
import { fuzz } from "./fuzz.ts";
import { mutate, Random } from "./mutate.ts";

Deno.test("damaged files are refused, whatever reads them", async () => {
  const { inputs, faults } = await fuzz({ seed: 1, inputs: 1500, seconds: 60 });
  assert(inputs > 100, `${inputs} inputs`);
  assertEquals(faults, []);
});

Deno.test("damage is the same for the same seed, and there is some", () => {
  const good = new TextEncoder().encode('{"a": [1, 2, {"b": "text"}], "c": 0.5}');
  let changed = 0;
  for (let i = 0; i < 200; i++) {
    const [a, b] = [mutate(good, new Random(i)), mutate(good, new Random(i))];
    assertEquals(a, b);
    if (a.join() !== good.join()) changed++;
  }
  assert(changed > 180, `${changed}`);
});
