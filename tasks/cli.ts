/**
 * What every task's command line does alike: reading arguments, progress on standard error, exit statuses.
 *
 * Exit status: 0 done; 2 the input, the configuration or the machine is at fault; 1 anything else; 130 interrupted.
 */
import { InputError, type OptionSet, Progress, type TrainEvent } from "../mod.ts";

/** What a task's work is handed besides its options. */
export interface TaskHooks {
  /** Aborted by the first Ctrl-C (or SIGTERM); the second ends the process at once. */
  readonly signal: AbortSignal;
  /** Shows an event on standard error. */
  readonly onEvent: (event: TrainEvent) => void;
}

/** Command-line arguments, taken apart but not yet checked. */
export interface Arguments {
  readonly help: boolean;
  readonly configPath: string | undefined;
  /** By snake_case key: the text behind the flag, `true` for a bare flag, `false` for `--no-flag`. */
  readonly flags: Readonly<Record<string, string | boolean>>;
}

const INTERRUPTED = 130;
/** One Ctrl-C may arrive twice, from the terminal and from `deno task`: what follows this soon is its echo. */
const ECHO_MS = 500;

/** Runs a task from its command line and ends the process with the task's exit status. */
export async function runTask<T>(
  options: OptionSet<T>,
  work: (given: Partial<T>, hooks: TaskHooks) => Promise<void>,
): Promise<never> {
  prepareEnvironment();
  const controller = new AbortController();
  let interruptedAt = 0;
  for (const name of interruptions()) {
    Deno.addSignalListener(name, () => {
      if (!controller.signal.aborted) {
        interruptedAt = performance.now();
        writeError("\ninterrupted: ending as soon as the work at hand is done; once more to end at once\n");
        controller.abort();
      } else if (performance.now() - interruptedAt > ECHO_MS) Deno.exit(INTERRUPTED);
    });
  }
  const progress = new Progress(terminal());
  const onEvent = (event: TrainEvent) => writeError(progress.show(event, performance.now() / 1000));
  let status = 0;
  try {
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

/** Takes the arguments apart: flags in kebab-case, at most one config file. Throws an InputError. */
export function readArguments<T>(args: readonly string[], { task, fields }: OptionSet<T>): Arguments {
  const takes = new Map(fields.map((field) => [field.key, field.takes]));
  const flags: Record<string, string | boolean> = {};
  let help = false;
  let configPath: string | undefined;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === "--help" || arg === "-h") help = true;
    else if (arg.startsWith("--") && arg.length > 2) {
      const equals = arg.indexOf("=");
      const name = (equals < 0 ? arg : arg.slice(0, equals)).slice(2).replaceAll("-", "_");
      const next = args[i + 1];
      const positive = name.replace(/^no_/, "");
      if (equals >= 0) flags[name] = arg.slice(equals + 1);
      else if (name !== positive && takes.has(positive) && takes.get(positive) !== "value") {
        flags[positive] = false;
      } else if (takes.get(name) !== "nothing" && next !== undefined && !next.startsWith("--")) {
        flags[name] = next;
        i++;
      } else flags[name] = true;
    } else if (configPath === undefined) configPath = arg;
    else {
      throw new InputError(
        `Cannot ${task}: the argument ${
          JSON.stringify(arg)
        } is one too many. Wanted are at most one config file ` +
          `(here ${configPath}) and flags; a switch takes no value (--shuffle, --no-shuffle).`,
      );
    }
  }
  return { help, configPath, flags };
}

/** Reads a config file: one JSON object. */
export async function readConfig(path: string): Promise<Record<string, unknown>> {
  const wanted = "Wanted is a JSON object of options; `--help` lists them.";
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new InputError(`Cannot read the config file ${path}: ${error.message}. ${wanted}`, {
      cause: error,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InputError(`The config file ${path} is not JSON: ${(error as Error).message}. ${wanted}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new InputError(`The config file ${path} holds ${Array.isArray(value) ? "a list" : value}. ${wanted}`);
}

/** Writes text to standard error, all of it, as it is. */
export function writeError(text: string): void {
  let bytes = new TextEncoder().encode(text);
  while (bytes.length > 0) bytes = bytes.subarray(Deno.stderr.writeSync(bytes));
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
  if (isSystemError(error)) {
    writeError(
      `error: ${error.message}. Mend what stands in the way (a path, a right, a full disk), or name another.\n`,
    );
    return 2;
  }
  const aborted = signal.aborted && error instanceof Error && error.name === "AbortError";
  if (aborted) return INTERRUPTED;
  writeError(`${error instanceof Error ? error.stack ?? error.message : error}\n`);
  return 1;
}

/** What the operating system refused, as in ENOSPC, or Deno's permissions. */
function isSystemError(error: unknown): error is Error {
  if (error instanceof Deno.errors.NotCapable) return true;
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

/** Windows knows no SIGTERM. */
function interruptions(): Deno.Signal[] {
  return Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
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
