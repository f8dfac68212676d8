/**
 * A conversation in the terminal: what `deno task generate --interactive` runs.
 */
import { type GenerateOptions, openChat } from "../mod.ts";
import { type TaskHooks, writeError } from "./cli.ts";

/** What was read beyond the last line. */
const input = { text: "", decoder: new TextDecoder() };

/** Reads what the user says line by line until the input ends; answers go to standard output as they come. */
export async function talk(given: Partial<GenerateOptions>, hooks: TaskHooks): Promise<void> {
  const chat = await openChat(given, hooks);
  const out = new TextEncoder();
  try {
    writeError("Say something; /clear begins anew, Ctrl-D ends.\n");
    for (;;) {
      if (Deno.stdin.isTerminal()) writeError("> ");
      const line = await readLine(hooks.signal);
      if (line === undefined) return;
      if (line.trim() === "/clear") chat.clear();
      else if (line.trim() !== "") {
        await chat.say(line, (piece) => {
          Deno.stdout.writeSync(out.encode(piece));
        });
        console.log();
      }
    }
  } finally {
    chat.close();
  }
}

/** The next line of standard input, or undefined at its end. */
async function readLine(signal: AbortSignal): Promise<string | undefined> {
  const bytes = new Uint8Array(4096);
  for (;;) {
    const end = input.text.indexOf("\n");
    if (end >= 0) {
      const line = input.text.slice(0, end);
      input.text = input.text.slice(end + 1);
      return line;
    }
    const got = signal.aborted ? null : await Deno.stdin.read(bytes);
    if (got === null) {
      const rest = input.text;
      input.text = "";
      return rest === "" ? undefined : rest;
    }
    input.text += input.decoder.decode(bytes.subarray(0, got), { stream: true });
  }
}
