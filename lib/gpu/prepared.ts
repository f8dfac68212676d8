/**
 * Forms of resident tensors (texture images, packed bf16) that lie in memory of their own: made once, then read by any
 * number of replays. For plans that run often while the tensors stay as they are, such as a step of generation.
 *
 * Set a recorder's `prepared` to one of these, record, `seal` and submit what that gives; `submit` makes every form
 * anew, whenever the tensors have changed.
 */
import { Plan } from "./plan.ts";
import { type Dtype, type ExtentIndex, makeTensor, residentTensor, type Tensor } from "./tensor.ts";
import { Recorder, type TextureSize } from "./recorder.ts";
import { createTexture, textureBytes } from "./texture.ts";

/** See the module's description. */
export class Prepared extends Recorder {
  override readonly lasting = true;
  #plans: Plan[] = [];
  #sealed = 0;
  #made: Tensor[] = [];

  /** A resident tensor, unlike a plain recorder's. */
  override tensor(
    name: string,
    shape: readonly number[],
    options: { dtype?: Dtype; extent?: ExtentIndex } = {},
  ): Tensor {
    const made = residentTensor(this.gpu, name, shape, options);
    this.#made.push(made);
    return made;
  }

  /** A resident texture, unlike a plain recorder's. */
  override texture(
    name: string,
    size: TextureSize,
    extent?: ExtentIndex,
  ): Tensor {
    const shaped = super.texture(name, size, extent);
    if (!this.gpu.device) this.gpu.created.bytes += textureBytes(this.gpu, size);
    const texture = this.gpu.device ? { texture: createTexture(this.gpu, size, name) } : {};
    const made = makeTensor(name, shaped.shape, {
      ...shaped,
      place: { buffer: null, offset: 0, ...texture },
    });
    this.#made.push(made);
    return made;
  }

  /** See `Recorder.derived`; listings and profiles show the forms under a name of their own. */
  override derived(tensor: Tensor, kind: string, make: (rec: Recorder) => Tensor): Tensor {
    return this.scope("forms of weights", () => super.derived(tensor, kind, make));
  }

  /** What `submit` runs: a plan for each sealing. */
  get plans(): readonly Plan[] {
    return this.#plans;
  }

  /** Bytes of all forms. */
  get sizeBytes(): number {
    return this.#made.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  /** Compiles what was recorded since the last time, if anything; returns what makes these forms. */
  async seal(): Promise<Plan | undefined> {
    const steps = this.steps.slice(this.#sealed);
    if (steps.length === 0) return undefined;
    const plan = await Plan.seal("prepared forms", { gpu: this.gpu, steps });
    this.#sealed += steps.length;
    this.#plans.push(plan);
    return plan;
  }

  /** Makes every form anew from what the tensors hold now. */
  submit(): void {
    for (const plan of this.#plans) plan.submit();
  }

  /** Frees the forms; plans that read them are void. */
  destroy(): void {
    for (const plan of this.#plans) plan.destroy();
    for (const { place } of this.#made) (place?.texture ?? place?.buffer)?.destroy();
  }
}
