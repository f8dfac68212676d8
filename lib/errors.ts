/**
 * The input, the configuration or the machine is at fault: the tasks print the message and exit with status 2.
 *
 * A message says what was attempted, what was found, what was wanted and what to do about it, in one paragraph.
 */
export class InputError extends Error {
  /** Always `InputError`. */
  override name = "InputError";
}
