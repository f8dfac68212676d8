/** TensorFlow.js with its WebGPU backend. */
import type { MatmulPeer } from "../peer.ts";

/** Held in a variable: not in the bench's module graph, and its types are not checked with ours. */
const PACKAGES = [
  "npm:@tensorflow/tfjs-core@4.22.0",
  "npm:@tensorflow/tfjs-backend-webgpu@4.22.0",
] as const;

interface TfTensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

interface Tf {
  setBackend(name: string): Promise<boolean>;
  backend(): { readonly adapterInfo?: { readonly vendor?: string; readonly description?: string } };
  tensor2d(data: Float32Array, shape: readonly number[]): TfTensor;
  matMul(a: TfTensor, b: TfTensor, transposeA: boolean, transposeB: boolean): TfTensor;
  slice(x: TfTensor, begin: readonly number[], size: readonly number[]): TfTensor;
}

export async function open(): Promise<MatmulPeer> {
  const tf = await import(PACKAGES[0]) as Tf;
  await import(PACKAGES[1]);
  if (!await tf.setBackend("webgpu")) throw new Error("its WebGPU backend does not start here");
  const { vendor = "", description = "" } = tf.backend().adapterInfo ?? {};
  return {
    name: "tfjs 4.22.0 WebGPU",
    adapter: `${description} (vendor ${vendor})`.trim(),
    prepare: ({ layout, left, right }) => {
      const a = tf.tensor2d(left.data, left.shape);
      const b = tf.tensor2d(right.data, right.shape);
      const product = () => tf.matMul(a, b, layout === "tn", layout === "nt");
      return {
        run: async (count) => {
          for (let i = 1; i < count; i++) product().dispose();
          const last = product();
          const corner = tf.slice(last, [0, 0], [1, 1]); // one number is read: the wait, without the copy
          await corner.data();
          corner.dispose();
          last.dispose();
        },
        read: async () => {
          const y = product();
          const values = await y.data();
          y.dispose();
          return values;
        },
        dispose: () => {
          a.dispose();
          b.dispose();
        },
      };
    },
  };
}
