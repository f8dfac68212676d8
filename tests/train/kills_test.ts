/** The short form of `deno task test:kills`: a run that is killed twice and resumed ends as one that nobody disturbed. */
import { assertEquals } from "@std/assert";

const script = new URL("../../scripts/kills.ts", import.meta.url).pathname;

for (const signal of ["SIGKILL", "SIGTERM"]) {
  Deno.test({
    name: `a run that is sent ${signal} at random moments goes on to the same end`,
    // Windows can only kill.
    ignore: Deno.build.os === "windows" && signal !== "SIGKILL",
    fn: async () => {
      const args = [
        "run",
        "--allow-all",
        "--no-check",
        "--quiet",
        script,
        "--count",
        "2",
        "--signal",
        signal,
      ];
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
      const text = new TextDecoder();
      assertEquals(code, 0, text.decode(stdout) + text.decode(stderr));
    },
  });
}
