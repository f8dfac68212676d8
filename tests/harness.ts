/**
 * Runs ops on the adapter: the cases of `tests/cases/` as tests, and single ops between guard bands.
 */
import { assert, assertEquals } from "@std/assert";
import { type Gpu, openGpu } from "../lib/gpu/device.ts";
import type { Recorder } from "../lib/gpu/recorder.ts";
import type { Tensor } from "../lib/gpu/tensor.ts";
import type { CaseTensor, OpCase } from "./cases/case.ts";
import { compare, runCase, runTensors } from "./cases/run.ts";
import { numericGradient, relativeError, weighted } from "./reference/gradcheck.ts";

export type { CaseTensor } from "./cases/case.ts";
export { randomNormal } from "./cases/random.ts";

let shared: Promise<Gpu> | undefined;

/** One Gpu for all tests of a file: opening an adapter and compiling its kernels is what costs. */
export function testGpu(): Promise<Gpu> {
  return shared ??= openGpu();
}

/** A test for each case, and one for each small case's gradient, which is held to central differences. */
export function testCases(cases: readonly OpCase[]): void {
  assertEquals(new Set(cases.map(({ name }) => name)).size, cases.length, "names of cases");
  let proven = 0;
  for (const one of cases) {
    Deno.test(one.name, async () => assertEquals(await runCase(await testGpu(), one), []));
    if (!isSmall(one)) continue;
    proven++;
    Deno.test(`${one.name}: central differences`, () => checkGradient(one));
  }
  assert(
    proven > 0 || cases.every(({ gradient }) => !gradient),
    "no case is small enough to prove its gradient",
  );
}

/** Inputs so few, and of ordinary size, that differences are cheap and good. */
function isSmall({ gradient, tensors }: OpCase): boolean {
  if (!gradient) return false;
  const held = Object.values(tensors()).flatMap(({ data }) => data instanceof Float32Array ? [data] : []);
  const all = [...held, ...Object.values(gradient.others ?? {})];
  return all.reduce((sum, { length }) => sum + length, 0) <= 400 &&
    held.every((data) => data.every((x) => Math.abs(x) < 10));
}

/** Five-point differences at step 1e-4 of functions of size 1 to 30 leave up to 5e-11; twenty times that. */
const DIFFERENCE = 1e-9;

/** Proves a case's expected gradients in float64. */
function checkGradient({ gradient, tensors, expected }: OpCase): void {
  const { forward, others, dy, of } = gradient!;
  const made = tensors();
  const floats = Object.entries(made).flatMap(([name, { data }]) =>
    data ? [[name, Float64Array.from(data)]] : []
  );
  const inputs: Record<string, Float64Array> = { ...Object.fromEntries(floats), ...others };
  const slopes = inputs[dy]!;
  const all = expected(made);
  for (const [name, { input, plus }] of Object.entries(of)) {
    const found = all.find(({ tensor, part }) => name === (part ? `${tensor} ${part.name}` : tensor));
    assert(found, `${name} is not among what is expected`);
    const analytic = Float64Array.from(found.values, (value, i) => plus ? value - inputs[plus]![i]! : value);
    const numeric = numericGradient(() => weighted(forward(inputs), slopes), inputs[input]!);
    const error = relativeError(analytic, numeric, 1e-3);
    assert(error < DIFFERENCE, `${name}: relative error ${error}`);
  }
}

/** Records `record` over `tensors` on the shared Gpu, runs it once and returns every tensor's content afterwards. */
export async function runOp(
  tensors: Record<string, CaseTensor>,
  record: (recorder: Recorder, t: Record<string, Tensor>) => void,
  options: { counts?: readonly number[]; gpu?: Gpu; setup?: (recorder: Recorder) => void } = {},
): Promise<Record<string, Float32Array<ArrayBuffer>>> {
  const { gpu = await testGpu(), ...rest } = options;
  return await runTensors(gpu, tensors, { record, ...rest });
}

/** Largest |a - b|, and ‖a - b‖ / ‖b‖; NaN anywhere gives NaN (which no tolerance admits). */
export function difference(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
): { max: number; relative: number } {
  assert(actual.length === expected.length, `${actual.length} elements, expected ${expected.length}`);
  const { max, error, norm } = compare(actual, expected);
  return { max, relative: error / Math.max(norm, 1e-30) };
}
