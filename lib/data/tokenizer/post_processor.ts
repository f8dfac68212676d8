/**
 * The post-processors of `tokenizer.json`, as far as they concern one text: the special tokens before and after it.
 */
import { type Fields, isId, spell } from "./fields.ts";

/** Ids around a text. */
export interface Frame {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const NOTHING: Frame = { before: [], after: [] };

/** Reads a post-processor node. */
export function readPostProcessor(node: Fields): Frame {
  switch (node.type) {
    case "ByteLevel": // moves offsets only
      return NOTHING;
    case "BertProcessing":
    case "RobertaProcessing":
      return { before: [pairId(node, "cls")], after: [pairId(node, "sep")] };
    case "TemplateProcessing":
      return readTemplate(node);
    case "Sequence":
      return node.objects("processors").map(readPostProcessor).reduce(around, NOTHING);
    default:
      throw node.refuse(`the post-processor ${JSON.stringify(node.type)} is not known`);
  }
}

const around = (inner: Frame, outer: Frame): Frame => ({
  before: [...outer.before, ...inner.before],
  after: [...inner.after, ...outer.after],
});

/** The id of `["</s>", 2]`. */
function pairId(node: Fields, key: string): number {
  const [token, id] = node.array(key);
  if (typeof token !== "string" || !isId(id)) {
    throw node.refuse(`${key} is ${spell(node.value[key])}, a token with its id is wanted`);
  }
  return id;
}

function readTemplate(node: Fields): Frame {
  const before: number[] = [], after: number[] = [];
  let seen = 0;
  for (const piece of node.objects("single")) {
    if (piece.has("Sequence")) {
      const which = piece.object("Sequence").string("id");
      if (which !== "A" || ++seen > 1) {
        throw node.refuse(`single has the sequence ${which} where one A is wanted`);
      }
      continue;
    }
    const name = piece.object("SpecialToken").string("id");
    const ids = node.object("special_tokens").object(name).array("ids");
    if (!ids.every(isId)) throw node.refuse(`the ids of ${JSON.stringify(name)} are ${spell(ids)}`);
    (seen > 0 ? after : before).push(...ids as number[]);
  }
  if (seen === 0) throw node.refuse("single has no sequence");
  return { before, after };
}
