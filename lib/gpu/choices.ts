/**
 * The kernel choices that hold on a Gpu: which candidate each class of problems gets where it is not the default, and
 * who is told of the problems that are recorded. `TunableOp` (lib/ops/tunable.ts) is what reads and writes them.
 */

/** See the module's description. */
export class KernelChoices {
  /** A candidate's name by its class, such as `matmul nt f32 6 6 6`. */
  readonly variants: Map<string, string>;
  /** By the op's name; told of a problem's key, the problem, and the recorder that it comes to. */
  readonly observers: Map<string, (key: string, problem: never, rec: never) => void> = new Map();

  /** Takes over the choices of `from`, not its observers. */
  constructor(from?: KernelChoices) {
    this.variants = new Map(from?.variants);
  }
}
