/**
 * What every task's command line does alike: reading arguments, progress on standard error, exit statuses.
 *
 * Exit status: 0 done; 2 the input, the configuration or the machine is at fault; 1 anything else; 130 interrupted.
 */
import { InputError, type OptionSet, Progress, readConfig, type TrainEvent } from "../mod.ts";
import { readArguments } from "./arguments.ts";

/** What a task's work is handed besides its options. */
export interface TaskHooks {
  /** Aborted by the first Ctrl-C (or SIGTERM, or SIGHUP); the second ends the process at once. */
  readonly signal: AbortSignal;
  /** Shows an event on standard error. */
  readonly onEvent: (event: TrainEvent) => void;
}

const INTERRUPTED = 130;
/** One Ctrl-C may arrive twice, from the terminal and from `deno task`: what follows this soon is its echo. */
const ECHO_MS = 500;

/** Runs a task from its command line and ends the process with the task's exit status. */
export async function runTask<T>(
  options: OptionSet<T>,
  work: (given: Partial<T>, hooks: TaskHooks) => Promise<void>,
): Promise<never> {
  const controller = new AbortController();
  listenToSignals(controller);
  const progress = new Progress(terminal());
  const onEvent = (event: TrainEvent) => writeError(progress.show(event, performance.now() / 1000));
  let status = 0;
  try {
    prepareEnvironment();
    const { help, configPath, flags } = readArguments(Deno.args, options);
    if (help) {
      console.log(options.help());
      Deno.exit(0);
    }
    const file = configPath === undefined ? {} : await readConfig(configPath);
    await work(options.given({ file, fileName: configPath, flags }), { signal: controller.signal, onEvent });
    writeError(progress.close());
  } catch (error) {
    writeError(progress.close());
    status = report(error, controller.signal);
  }
  Deno.exit(controller.signal.aborted && status === 0 ? INTERRUPTED : status);
}

let errorLost = false;

/** Writes text to standard error, all of it, as it is. Where nobody reads it any more, the work goes on unseen. */
export function writeError(text: string): void {
  let bytes = new TextEncoder().encode(text);
  try {
    while (bytes.length > 0 && !errorLost) bytes = bytes.subarray(Deno.stderr.writeSync(bytes));
  } catch {
    errorLost = true; // a closed pipe, a terminal that is gone, a full disk below a log
  }
}

/** Aborts at the first signal; the second (but for a terminal that closes) ends the process at once. */
function listenToSignals(controller: AbortController): void {
  let interruptedAt = 0;
  for (const name of interruptions()) {
    Deno.addSignalListener(name, () => {
      if (!controller.signal.aborted) {
        interruptedAt = performance.now();
        writeError("\ninterrupted: ending as soon as the work at hand is done; once more to end at once\n");
        controller.abort();
      } else if (name !== "SIGHUP" && performance.now() - interruptedAt > ECHO_MS) Deno.exit(INTERRUPTED);
    });
  }
}

/** Writes one JSON object per line to standard output. */
export function printRows(rows: Iterable<unknown>): void {
  for (const row of rows) console.log(JSON.stringify(row));
}

function report(error: unknown, signal: AbortSignal): number {
  if (error instanceof InputError) {
    writeError(`error: ${error.message}\n`);
    return 2;
  }
  if (error instanceof Deno.errors.NotCapable) {
    writeError(
      `error: ${error.message}. \`deno task\` grants what the tasks need; README.md lists it by task.\n`,
    );
    return 2;
  }
  if (isSystemError(error)) {
    writeError(
      `error: ${error.message}. Check the path, its permissions and the free space, or name another place.\n`,
    );
    return 2;
  }
  const aborted = signal.aborted && error instanceof Error && error.name === "AbortError";
  if (aborted) return INTERRUPTED;
  writeError(`${error instanceof Error ? error.stack ?? error.message : error}\n`);
  return 1;
}

/** What the operating system refused, as in ENOSPC. */
function isSystemError(error: unknown): error is Error {
  return error instanceof Error && "code" in error && /^E[A-Z0-9]+$/.test(String(error.code));
}

function terminal(): { terminal: boolean; columns?: number } {
  if (!Deno.stderr.isTerminal()) return { terminal: false };
  try {
    const { columns } = Deno.consoleSize();
    return columns > 0 ? { terminal: true, columns } : { terminal: true }; // some terminals do not know their width
  } catch {
    return { terminal: true };
  }
}

/** What asks a process to end, or tells it that its terminal is gone. Windows knows no SIGTERM. */
function interruptions(): Deno.Signal[] {
  return Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK", "SIGHUP"] : ["SIGINT", "SIGTERM", "SIGHUP"];
}

/**
 * Linux only. Without XDG_RUNTIME_DIR libwayland, which some Vulkan drivers load, complains on standard error; and the
 * OpenGL backend, which would be taken where there is no Vulkan driver, takes minutes to compile compute shaders.
 */
function prepareEnvironment(): void {
  if (Deno.build.os !== "linux") return;
  const byDefault = { XDG_RUNTIME_DIR: "/tmp", DENO_WEBGPU_BACKEND: "vulkan" };
  for (const [name, value] of Object.entries(byDefault)) if (!Deno.env.get(name)) Deno.env.set(name, value);
}
