/**
 * The input, the configuration or the machine is at fault: the tasks print the message and exit with status 2.
 *
 * A message says what was attempted, what was found, what was wanted and what to do about it, in one paragraph.
 */
export class InputError extends Error {
  /** Always `InputError`. */
  override name = "InputError";
}

/** Runs `work` and puts `context` (a file and line, a tensor's name) before the message of an {@link InputError}. */
export async function withContext<T>(context: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`${context}: ${error.message}`, { cause: error });
    throw error;
  }
}
