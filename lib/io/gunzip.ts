/**
 * Unpacking gzip files of any number of members, one after the other, which the platform's DecompressionStream refuses.
 */

/** The unpacked bytes. Throws an error of zlib's where they are damaged or end early. */
export async function* gunzip(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  // few runs need them, and they are not free
  const [{ createGunzip }, { Readable }] = await Promise.all([import("node:zlib"), import("node:stream")]);
  const unpacked = createGunzip(), packed = Readable.from(chunks, { objectMode: false });
  packed.on("error", (error: Error) => unpacked.destroy(error));
  packed.pipe(unpacked);
  try {
    for await (const chunk of unpacked) yield chunk;
  } finally {
    packed.destroy();
    unpacked.destroy();
  }
}
