/**
 * Training some of a model's layers and leaving the rest as it is.
 */
import { InputError } from "../errors.ts";
import type { ModelConfig } from "../model/config.ts";
import type { Trainable } from "../model/params.ts";
import { parseRanges } from "../options/ranges.ts";
import type { TrainOptions } from "./options.ts";

/** Which tensors a run trains: all of them, or those of the layers that `trainable_layers` names. */
export function trainableTensors(
  { trainable_layers: layers }: Pick<TrainOptions, "trainable_layers">,
  { num_hidden_layers: L }: ModelConfig,
): Trainable {
  if (layers === undefined) return true;
  const ranges = parseRanges(layers, "trainable_layers");
  const beyond = ranges.find(([, end]) => end >= L);
  if (beyond) {
    throw new InputError(
      `trainable_layers: ${JSON.stringify(layers)} names layer ${
        beyond[1]
      }, but this model has ${L}, counted from 0. ` +
        "Name others.",
    );
  }
  return ({ layer }) => layer !== undefined && ranges.some(([start, end]) => layer >= start && layer <= end);
}
