/**
 * Plan: a sealed recording. Sealing assigns buffers, compiles pipelines and makes bind groups once; every step then
 * replays the same commands and creates nothing.
 */
import { checkErrors, createBuffer, type Gpu, requireDevice, stagedBytes } from "./device.ts";
import { describePlan, type PlanView, verifyPlan } from "./inspect.ts";
import { assignSlots, type Layout, rootOf, withoutDead } from "./memory.ts";
import type { Binding, Recorder, Step } from "./recorder.ts";
import { layoutFor, pipelineFor } from "./shader.ts";
import { tickNanoseconds } from "./stopwatch.ts";
import type { Tensor } from "./tensor.ts";
import { createTexture, textureBytes } from "./texture.ts";

interface Ready {
  readonly pipeline?: GPUComputePipeline;
  readonly group?: GPUBindGroup;
}

/** See the module's description. */
export class Plan implements PlanView {
  readonly flops: number;
  /** Bytes of the plan's own buffers and textures (resident tensors are not the plan's). */
  readonly sizeBytes: number;
  #ready: Ready[] = [];
  #buffers: GPUBuffer[] = [];
  #textures: (GPUTexture | undefined)[] = [];

  private constructor(
    readonly name: string,
    readonly gpu: Gpu,
    readonly steps: readonly Step[],
    readonly layout: Layout,
  ) {
    this.flops = steps.reduce((sum, step) => sum + (step.kind === "dispatch" ? step.flops : 0), 0);
    this.sizeBytes = layout.slots.reduce((sum, slot) => sum + slot.sizeBytes, 0);
  }

  /**
   * Seals a recording: verifies it, creates its buffers, compiles its kernels. On a null Gpu it is only planned.
   * `onCompile` is told of every kernel compiled, since the first compilation of large kernels takes a while.
   */
  static async seal(
    name: string,
    recorder: Pick<Recorder, "gpu" | "steps">,
    options: { onCompile?: (done: number, total: number) => void } = {},
  ): Promise<Plan> {
    const steps = withoutDead(recorder.steps);
    const plan = new Plan(name, recorder.gpu, steps, assignSlots(steps));
    verifyPlan(plan);
    if (recorder.gpu.device) await plan.#materialise(options.onCompile ?? (() => {}));
    else recorder.gpu.created.bytes += plan.#allocatedBytes();
    return plan;
  }

  /** Encodes and submits every step; returns without waiting. */
  submit(): void {
    const device = requireDevice(this.gpu);
    const max = 2 * this.gpu.pace.flopsPerDispatch;
    let encoder = device.createCommandEncoder({ label: this.name });
    let pass: GPUComputePassEncoder | undefined;
    let flops = 0;
    this.steps.forEach((step, i) => {
      if (step.kind === "dispatch") {
        pass ??= encoder.beginComputePass();
        pass.setPipeline(this.#ready[i]!.pipeline!);
        pass.setBindGroup(0, this.#ready[i]!.group!);
        pass.dispatchWorkgroups(...step.grid);
        flops += step.flops;
      } else {
        pass?.end();
        pass = undefined;
        this.#encodeCopy(encoder, step);
      }
      if (flops > max) {
        pass?.end();
        pass = undefined;
        device.queue.submit([encoder.finish()]);
        encoder = device.createCommandEncoder({ label: this.name });
        flops = 0;
      }
    });
    pass?.end();
    device.queue.submit([encoder.finish()]);
  }

  /**
   * Runs every dispatch in a pass of its own between timestamps. Returns nanoseconds per step; 0 where a step is no
   * dispatch, or too short for the adapter's ticks. Needs timestamps of some use (`tickNanoseconds`).
   */
  async time(): Promise<Float64Array> {
    const device = requireDevice(this.gpu);
    const period = await tickNanoseconds(this.gpu);
    if (period === null) {
      throw new Error(`The timestamps of ${this.gpu.name} are of no use: no dispatch can be timed.`);
    }
    const nanoseconds = new Float64Array(this.steps.length);
    const perSet = 2048; // a query set holds at most 4,096 timestamps
    for (let from = 0; from < this.steps.length; from += perSet) {
      const part = this.steps.slice(from, from + perSet);
      // Only dispatches have stamps: where some of a set are never written, resolving it hangs on NVIDIA's driver.
      const stamped = part.flatMap((step, i) => step.kind === "dispatch" ? [from + i] : []);
      const indexOf = new Map(stamped.map((step, index) => [step, index]));
      const count = Math.max(1, stamped.length);
      const queries = device.createQuerySet({ type: "timestamp", count: 2 * count });
      const size = 16 * count;
      const resolved = device.createBuffer({
        size,
        usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
      });
      const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      const encoder = device.createCommandEncoder();
      part.forEach((step, i) => {
        if (step.kind !== "dispatch") return this.#encodeCopy(encoder, step);
        const index = indexOf.get(from + i)!;
        const pass = encoder.beginComputePass({
          timestampWrites: {
            querySet: queries,
            beginningOfPassWriteIndex: 2 * index,
            endOfPassWriteIndex: 2 * index + 1,
          },
        });
        pass.setPipeline(this.#ready[from + i]!.pipeline!);
        pass.setBindGroup(0, this.#ready[from + i]!.group!);
        pass.dispatchWorkgroups(...step.grid);
        pass.end();
      });
      if (stamped.length > 0) {
        encoder.resolveQuerySet(queries, 0, 2 * stamped.length, resolved, 0);
        encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16 * stamped.length);
      }
      device.queue.submit([encoder.finish()]);
      const stamps = this.gpu.clock.read(new BigUint64Array(await stagedBytes(this.gpu, staging)));
      stamped.forEach((step, index) => {
        nanoseconds[step] = Math.max(0, Number(stamps[2 * index + 1]! - stamps[2 * index]!) * period);
      });
      for (const resource of [queries, resolved, staging]) resource.destroy();
    }
    checkErrors(this.gpu);
    return nanoseconds;
  }

  /** A listing that a person can follow: operation, shapes, variant, buffers, bytes, FLOP; memory at its end. */
  describe(): string {
    return describePlan(this);
  }

  /** Frees the plan's buffers and textures. */
  destroy(): void {
    for (const resource of [...this.#buffers, ...this.#textures]) resource?.destroy();
    this.#buffers = [];
    this.#textures = [];
    this.#ready = [];
  }

  async #materialise(onCompile: (done: number, total: number) => void): Promise<void> {
    await this.#compile(onCompile);
    const device = requireDevice(this.gpu);
    for (const slot of this.layout.slots) {
      const label = `${this.name} slot ${slot.index}`;
      if (slot.texture) this.#textures[slot.index] = createTexture(this.gpu, slot.texture, label);
      else this.#buffers[slot.index] = createBuffer(this.gpu, slot.sizeBytes, label);
    }
    const { buffer, offsets } = this.#writeParams();
    device.pushErrorScope("validation");
    this.#ready = this.steps.map((step, i) => {
      if (step.kind !== "dispatch") return {};
      const params = { buffer, offset: offsets[i]!, size: Math.max(16, step.params.byteLength) };
      return { pipeline: this.gpu.pipelines.get(step.shader.label)!, group: this.#bindGroup(step, params) };
    });
    const error = await device.popErrorScope();
    if (error) throw new Error(`Plan ${this.name} cannot be bound: ${error.message}`);
  }

  async #compile(onCompile: (done: number, total: number) => void): Promise<void> {
    const shaders = new Map(
      this.steps.flatMap((step) =>
        step.kind === "dispatch" && !this.gpu.pipelines.has(step.shader.label)
          ? [[step.shader.label, step.shader]]
          : []
      ),
    );
    let done = 0;
    for (const shader of shaders.values()) {
      await pipelineFor(this.gpu, shader);
      onCompile(++done, shaders.size);
    }
  }

  /** What sealing on a real Gpu creates. */
  #allocatedBytes(): number {
    const slots = this.layout.slots.map(({ texture, sizeBytes }) =>
      texture ? textureBytes(this.gpu, texture) : sizeBytes
    );
    return slots.reduce((sum, bytes) => sum + bytes, this.#placeParams().size);
  }

  /** Where each dispatch's parameters lie in one buffer. */
  #placeParams(): { offsets: number[]; size: number } {
    const align = Math.max(16, this.gpu.limits.minUniformBufferOffsetAlignment);
    let size = 0;
    const offsets = this.steps.map((step) => {
      const offset = size;
      if (step.kind === "dispatch") size += Math.ceil(Math.max(16, step.params.byteLength) / align) * align;
      return offset;
    });
    return { offsets, size: Math.max(16, size) };
  }

  /** All dispatches' parameters in one buffer, written once. */
  #writeParams(): { buffer: GPUBuffer; offsets: number[] } {
    const { offsets, size } = this.#placeParams();
    const bytes = new Uint8Array(size);
    this.steps.forEach((step, i) => {
      if (step.kind === "dispatch") bytes.set(new Uint8Array(step.params), offsets[i]);
    });
    const buffer = createBuffer(this.gpu, bytes.length, `${this.name} params`);
    requireDevice(this.gpu).queue.writeBuffer(buffer, 0, bytes);
    this.#buffers.push(buffer);
    return { buffer, offsets };
  }

  #bindGroup(step: Step & { kind: "dispatch" }, params: GPUBufferBinding): GPUBindGroup {
    const entries: GPUBindGroupEntry[] = step.bindings.map((binding) => ({
      binding: binding.index,
      resource: this.#resource(binding),
    }));
    const paramsIndex = step.shader.bindings.find((spec) => spec.name === "params")?.index;
    if (paramsIndex !== undefined) entries.push({ binding: paramsIndex, resource: params });
    this.gpu.created.bindGroups++;
    return requireDevice(this.gpu).createBindGroup({
      label: `${step.scope} ${step.shader.label}`,
      layout: layoutFor(this.gpu, step.shader),
      entries,
    });
  }

  #resource(binding: Binding): GPUBindingResource {
    if (binding.tensor.texture) return this.#texture(binding.tensor).createView();
    const { buffer, offset } = this.#range(binding.tensor);
    return { buffer, offset, size: Math.max(16, Math.ceil(binding.tensor.sizeBytes / 16) * 16) };
  }

  #range(tensor: Tensor): { buffer: GPUBuffer; offset: number } {
    if (tensor.place) return { buffer: tensor.place.buffer!, offset: tensor.place.offset };
    const slot = this.layout.slotOf.get(rootOf(tensor))!;
    return { buffer: this.#buffers[slot.index]!, offset: tensor.baseOffset ?? 0 };
  }

  #texture(tensor: Tensor): GPUTexture {
    return tensor.place?.texture ?? this.#textures[this.layout.slotOf.get(tensor)!.index]!;
  }

  #encodeCopy(encoder: GPUCommandEncoder, step: Exclude<Step, { kind: "dispatch" }>): void {
    const target = step.target;
    if (step.kind === "clear") {
      const { buffer, offset } = this.#range(target);
      encoder.clearBuffer(buffer, offset, target.sizeBytes);
    } else if (step.kind === "copy") {
      const from = this.#range(step.source);
      const to = this.#range(target);
      encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, target.sizeBytes);
    } else {
      const { buffer, offset } = this.#range(step.source);
      const { width, height } = target.texture!;
      encoder.copyBufferToTexture(
        { buffer, offset, bytesPerRow: width * 16, rowsPerImage: height },
        { texture: this.#texture(target) },
        [width, height],
      );
    }
  }
}
