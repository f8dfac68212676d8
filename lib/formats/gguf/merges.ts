/**
 * SentencePiece's scores as merges in order, and back.
 */

/**
 * SentencePiece merges whichever two neighbours make the piece of the highest score. As merges in order, that is every
 * way to cut every piece in two that are pieces, the highest score first (as Transformers converts such models).
 */
export function mergesByScore(tokens: readonly string[], scores: readonly number[]): [string, string][] {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const merges: { left: string; right: string; score: number }[] = [];
  tokens.forEach((token, id) => {
    const cuts: { left: string; right: string; score: number }[] = [];
    let left = "";
    for (const character of token) {
      left += character;
      const right = token.slice(left.length);
      if (right !== "" && ids.has(left) && ids.has(right)) cuts.push({ left, right, score: scores[id]! });
    }
    cuts.sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!);
    merges.push(...cuts);
  });
  const length = (text: string) => [...text].length;
  merges.sort((a, b) =>
    b.score - a.score || length(b.left) - length(a.left) || length(b.right) - length(a.right)
  );
  return merges.map(({ left, right }) => [left, right]);
}

/**
 * Scores under which SentencePiece merges as `merges` in their order do: the earlier a piece is made, the higher its
 * score; pieces whose merges lie mixed have one score. Undefined where none do: some way to cut a piece in two pieces is
 * no merge, or the mixed ones are not in the order that goes with one score. What makes one of the `apart`, which are
 * found in texts before anything is merged, does not matter.
 */
export function scoresByMerge(
  tokens: readonly string[],
  merges: readonly Merge[],
  apart: ReadonlySet<string>,
): number[] | undefined {
  const counted = (all: readonly Merge[]) => all.filter(([left, right]) => !apart.has(left + right));
  const wanted = counted(merges);
  const ranks = rankPieces(wanted);
  const last = wanted.length + 1;
  const scores = tokens.map((token) => apart.has(token) ? 0 : -(ranks.get(token)?.rank ?? last) - 1);
  const found = counted(mergesByScore(tokens, scores));
  // the merges that make one piece alone have one score: their order among themselves is nobody's
  const order = (all: readonly Merge[]) =>
    all.map(([left, right], i) => {
      const { rank, alone } = ranks.get(left + right) ?? { rank: last, alone: false };
      return { rank, place: alone ? left : `${left} ${right}`, at: alone ? 0 : i };
    }).sort((a, b) => a.rank - b.rank || a.at - b.at || (a.place < b.place ? -1 : 1));
  const [a, b] = [order(wanted), order(found)];
  const same = a.length === b.length &&
    a.every(({ rank, place }, i) => rank === b[i]!.rank && place === b[i]!.place);
  return same ? scores : undefined;
}

type Merge = readonly [left: string, right: string];

/** The places of pieces in the order of merges; those whose merges lie mixed share one, and are not alone in it. */
function rankPieces(merges: readonly Merge[]): Map<string, { rank: number; alone: boolean }> {
  const ends = new Map(merges.map(([left, right], i) => [left + right, i]));
  const ranks = new Map<string, { rank: number; alone: boolean }>();
  let mixed = new Set<string>(), end = -1, rank = 0;
  const close = () => {
    for (const piece of mixed) ranks.set(piece, { rank, alone: mixed.size === 1 });
    rank++;
  };
  merges.forEach(([left, right], i) => {
    const piece = left + right;
    if (i > end) {
      if (i > 0) close();
      mixed = new Set();
    }
    mixed.add(piece);
    end = Math.max(end, ends.get(piece)!);
  });
  close();
  return ranks;
}
