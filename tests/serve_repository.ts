/** The repository as a web server has it, for those who import it by URL. */
const ROOT = new URL("../", import.meta.url);

/** Serves the repository's files. */
export function serveRepository() {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const path = decodeURIComponent(new URL(request.url).pathname).slice(1);
    try {
      const body = await Deno.readFile(new URL(path, ROOT));
      const type = path.endsWith(".ts") ? "application/typescript" : "text/plain";
      return new Response(body, { headers: { "content-type": type } });
    } catch {
      return new Response("not found", { status: 404 });
    }
  });
}
