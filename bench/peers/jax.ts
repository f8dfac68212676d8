/** jax-js on WebGPU. */
import type { MatmulPeer } from "../peer.ts";

/** Held in a variable: not in the bench's module graph, and its types are not checked with ours. */
const PACKAGE: string = "npm:@jax-js/jax@0.1.25";

interface JaxArray {
  /** Another owner: operations consume their arguments. */
  readonly ref: JaxArray;
  reshape(shape: readonly number[]): JaxArray;
  transpose(): JaxArray;
  data(): Promise<Float32Array>;
  blockUntilReady(): Promise<JaxArray>;
  dispose(): void;
}

interface Jax {
  init(...devices: string[]): Promise<string[]>;
  defaultDevice(device?: string): string;
  getWebGPUDevice(): GPUDevice;
  numpy: {
    array(data: Float32Array): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
  };
}

export async function open(): Promise<MatmulPeer> {
  const jax = await import(PACKAGE) as Jax;
  const devices = await jax.init();
  if (!devices.includes("webgpu")) throw new Error("it finds no WebGPU device here");
  jax.defaultDevice("webgpu");
  const info = (jax.getWebGPUDevice() as GPUDevice & { adapterInfo?: GPUAdapterInfo }).adapterInfo;
  const np = jax.numpy;
  return {
    name: "jax-js 0.1.25 WebGPU",
    adapter: info?.description || "the default adapter",
    prepare: ({ layout, left, right }) => {
      const a = np.array(left.data).reshape(left.shape);
      const b = np.array(right.data).reshape(right.shape);
      const product = () => {
        const x = layout === "tn" ? a.ref.transpose() : a.ref;
        const y = layout === "nt" ? b.ref.transpose() : b.ref;
        return np.matmul(x, y);
      };
      return {
        run: async (count) => {
          let last: JaxArray | undefined;
          for (let i = 0; i < count; i++) {
            last?.dispose();
            last = await product().blockUntilReady();
          }
          last?.dispose();
        },
        read: () => product().data(),
        dispose: () => {
          a.dispose();
          b.dispose();
        },
      };
    },
  };
}
