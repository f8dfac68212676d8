/**
 * A page served to the browser on this machine.
 */

/** Makes the page's HTML, whenever it is asked for. */
export type Page = () => Promise<string>;

/** Seconds after which a browser asks again. */
const REFRESH_SECONDS = 5;

/** Serves one page on 127.0.0.1 until the signal; a page that cannot be made says why, and is asked for again. */
export async function servePages(
  page: Page,
  { port, signal, onListen }: {
    port: number;
    signal?: AbortSignal | undefined;
    onListen?: ((url: string) => void) | undefined;
  },
): Promise<void> {
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port,
    ...(signal ? { signal } : {}),
    onListen: ({ port }) => onListen?.(`http://127.0.0.1:${port}/`),
  }, async (request) => {
    if (new URL(request.url).pathname !== "/") return new Response("not found\n", { status: 404 });
    const headers = { refresh: String(REFRESH_SECONDS), "content-type": "text/html; charset=utf-8" };
    try {
      return new Response(await page(), { headers });
    } catch (error) {
      // a run that has not logged anything yet, or whose file is being written
      const headersOfText = { ...headers, "content-type": "text/plain; charset=utf-8" };
      return new Response(`${(error as Error).message}\n`, { status: 503, headers: headersOfText });
    }
  });
  await server.finished;
}
