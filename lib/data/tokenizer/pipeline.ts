/**
 * `tokenizer.json` as the Rust library runs it: added tokens, normalizer, pre-tokenizer, model, post-processor, decoder.
 */
import { AddedTokens, readAddedToken } from "./added_tokens.ts";
import { type Decoder, readDecoder } from "./decoders.ts";
import { Fields } from "./fields.ts";
import { type Model, readModel } from "./model.ts";
import { readNormalizer } from "./normalizers.ts";
import { type Frame, readPostProcessor } from "./post_processor.ts";
import { cutText, type PreTokenizer, readPreTokenizer } from "./pre_tokenizers.ts";

/** A tokenizer without the settings that lie beside its file. */
export class Pipeline {
  readonly added: AddedTokens;
  readonly #model: Model;
  readonly #preTokenizer: PreTokenizer | undefined;
  readonly #decoder: Decoder | undefined;
  /** What the post-processor puts around a text; undefined where the file has none. */
  readonly frame: Frame | undefined;

  /** Reads the definition; `file` names it in messages. */
  constructor(definition: Readonly<Record<string, unknown>>, file: string) {
    const whole = new Fields(definition, file);
    const part = <T>(key: string, read: (node: Fields) => T) =>
      whole.has(key) ? read(whole.object(key)) : undefined;
    if (whole.has("version") && whole.value.version !== "1.0") {
      throw whole.refuse(`version is ${JSON.stringify(whole.value.version)}, "1.0" is known`);
    }
    if (!whole.has("model")) throw whole.refuse('no "model" is in this tokenizer');
    this.#model = readModel(whole.object("model"));
    this.added = new AddedTokens(this.#model, part("normalizer", readNormalizer));
    this.#preTokenizer = part("pre_tokenizer", readPreTokenizer);
    this.#decoder = part("decoder", readDecoder);
    this.frame = part("post_processor", readPostProcessor);
    if (whole.has("added_tokens")) this.added.add(whole.objects("added_tokens").map(readAddedToken));
  }

  /** The ids of `text`, without what the post-processor adds. */
  encode(text: string): number[] {
    const ids: number[] = [];
    for (const part of this.added.split(text.toWellFormed())) {
      if ("id" in part) ids.push(part.id);
      else this.#encodePart(part, ids);
    }
    return ids;
  }

  #encodePart({ text, atStart }: { text: string; atStart: boolean }, ids: number[]): void {
    const pieces = cutText(this.#preTokenizer?.cuts ?? [], text, atStart);
    const finish = this.#preTokenizer?.finish;
    for (const piece of pieces) {
      for (const id of this.#model.encode(finish ? finish(piece) : piece)) ids.push(id);
    }
  }

  decode(ids: readonly number[], { skipSpecialTokens }: { skipSpecialTokens: boolean }): string {
    const tokens: string[] = [];
    for (const id of ids) {
      const token = this.added.tokenOf(id);
      if (token !== undefined && !(skipSpecialTokens && this.added.isSpecial(token))) tokens.push(token);
    }
    if (!this.#decoder) return tokens.join(" ");
    return tokens.length === 0 ? "" : this.#decoder(tokens).join("");
  }

  /** The largest id. */
  get maxId(): number {
    let max = this.#model.maxId;
    for (const id of this.added.ids()) if (id > max) max = id;
    return max;
  }
}
