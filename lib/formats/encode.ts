/**
 * Float32 weights in the number formats of files, where they fit.
 */
import { InputError } from "../errors.ts";
import { encodeFloats, findOverflow, type FloatDtype, MAX_VALUE } from "./dtype.ts";
import { quantizeQ4_0, quantizeQ8_0 } from "./gguf/quantize.ts";

/** The block formats that are written: the quantiser, and the largest value whose scale is a finite float16. */
const BLOCKS = {
  Q8_0: { quantize: quantizeQ8_0, max: 127 * MAX_VALUE.F16 },
  Q4_0: { quantize: quantizeQ4_0, max: 8 * MAX_VALUE.F16 },
};

/** A format that weights are written in. */
export type WeightType = FloatDtype | keyof typeof BLOCKS;

/**
 * A tensor's values as the little-endian bytes of `type`; those of a block format in whole rows.
 *
 * @throws {InputError} naming the tensor where a value does not fit
 */
export function encodeWeights(
  values: Float32Array<ArrayBuffer>,
  type: WeightType,
  name: string,
): Uint8Array<ArrayBuffer> {
  if (type === "Q8_0" || type === "Q4_0") {
    const { quantize, max } = BLOCKS[type];
    const at = values.findIndex((x) => !(Math.abs(x) <= max));
    if (at < 0) return quantize(values);
    throw overflow(name, { type, at, value: values[at]!, max });
  }
  const at = findOverflow(values, type);
  if (at < 0) return encodeFloats(values, type);
  throw overflow(name, { type, at, value: values[at]!, max: MAX_VALUE[type] });
}

function overflow(
  name: string,
  { type, at, value, max }: { type: WeightType; at: number; value: number; max: number },
): InputError {
  return new InputError(
    `Writing the tensor ${name} as ${type}: its element ${at} is ${value}, the largest number of ${type} is ${max}. ` +
      "Nothing was written. Choose a format with a wider range: bf16, or f32.",
  );
}
