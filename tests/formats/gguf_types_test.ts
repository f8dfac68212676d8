/** ggml's block formats against the `gguf` package (tests/golden/ggml_types.py): the same bits both ways. */
import { assertEquals } from "@std/assert";
import { dequantize, QUANTIZED_TYPES } from "../../lib/formats/gguf/dequantize.ts";
import { quantizeQ4_0, quantizeQ8_0 } from "../../lib/formats/gguf/quantize.ts";
import { fixtureJson } from "../reference/fixture.ts";

interface Golden {
  readonly dequantize: Readonly<Record<string, { readonly bytes: string; readonly values: string }>>;
  readonly quantize: readonly { readonly values: string; readonly Q8_0: string; readonly Q4_0: string }[];
}

const golden = await fixtureJson<Golden>("gguf/types.json");
const bytesOf = (text: string) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const floatsOf = (text: string) => new Float32Array(bytesOf(text).buffer);

for (const type of QUANTIZED_TYPES) {
  Deno.test(`ggml: ${type} is read as the gguf package reads it`, () => {
    const { bytes, values } = golden.dequantize[type]!;
    const wanted = floatsOf(values);
    const found = new Float32Array(wanted.length);
    dequantize(bytesOf(bytes), type, found);
    assertEquals(found, wanted);
  });
}

Deno.test("ggml: q8_0 and q4_0 are written byte for byte as the gguf package writes them", () => {
  assertEquals(golden.quantize.length, 10);
  for (const { values, Q8_0, Q4_0 } of golden.quantize) {
    assertEquals(quantizeQ8_0(floatsOf(values)), bytesOf(Q8_0));
    assertEquals(quantizeQ4_0(floatsOf(values)), bytesOf(Q4_0));
  }
});
