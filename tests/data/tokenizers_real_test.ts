/**
 * Real tokenizers against the Rust library, where MIPO_TOKENIZERS names what `tests/golden/tokenizers_real.py` wrote.
 */
import { assert, assertEquals } from "@std/assert";
import { Pipeline } from "../../lib/data/tokenizer/pipeline.ts";

const file = Deno.env.get("MIPO_TOKENIZERS");

type Row = [text: string, plain: number[], full: number[], decoded: string, bare: string];

Deno.test({
  name: "tokenizer: real ones as the Rust library's, 2,000 strings each",
  ignore: file === undefined,
  async fn() {
    const golden: Record<string, Row[]> = JSON.parse(await Deno.readTextFile(file!));
    for (const [path, rows] of Object.entries(golden)) {
      assert(rows.length === 2000);
      const pipeline = new Pipeline(JSON.parse(await Deno.readTextFile(path)), path);
      const { before, after } = pipeline.frame ?? { before: [], after: [] };
      for (const [text, plain, full, decoded, bare] of rows) {
        const about = `${path}: ${JSON.stringify(text)}`, ids = pipeline.encode(text);
        assertEquals(ids, plain, about);
        assertEquals([...before, ...ids, ...after], full, about);
        assertEquals(pipeline.decode(plain, { skipSpecialTokens: false }), decoded, about);
        assertEquals(pipeline.decode(plain, { skipSpecialTokens: true }), bare, about);
      }
    }
  },
});
