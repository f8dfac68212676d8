"""Makes tests/fixtures/tokenizers/nodes.json: what `tokenizers` (0.23) does with 2,000 strings, for every kind of node and its fields.

    python tests/golden/tokenizer_nodes.py > tests/fixtures/tokenizers/nodes.json

Each case is a node of tokenizer.json with a hash of the results of every ten strings (FNV-1a over their JSON), or
`error` where the library refuses the node. A whole tokenizer's results are [ids, decoded, decoded without specials].
"""
import json
import random
import sys
import unicodedata

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

WORDS = (
    "the of and river sings don't I'LL we've It's 's THEY'RE 1234567 3.14159 foo_bar camelCase http://a.org/b?c=d "
    "u@x.com \"quoted\" (paren) [x] {y} <tag> </s> <s> <unk> ... -- — – … “q” ‘s’ naïve façade Straße ŒUVRE ﬁne "
    "İstanbul ΣΊΣΥΦΟΣ ὈΔΥΣΣΕΎΣ Привет мир שלום مرحبا नमस्ते สวัสดี 你好世界 こんにちは カタカナ 안녕하세요 ㈱ ½ ² ₃ ™ Å é"
).split(" ")
EMOJI = "😀 👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷 ❤️ ✊🏿 👩🏾‍🚀 ☕ ©️ 1️⃣ 🧑‍🤝‍🧑".split(" ")
ODD = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u2003", "\u200b", "\u200d", "\ufeff", "\u0085", "\u2028",
       "\u3000", "\u1680", "\u00ad", "\u0000", "\u0001", "\u001c", "\u007f", "\u0301", "\u0327", "\u202e", "\ufffd",
       "\U000e0041", "▁", "Ġ", "<0x0A>"]
BLOCKS = [(0x20, 0x7F)] * 3 + [
    (0xA0, 0x250), (0x370, 0x400), (0x400, 0x530), (0x590, 0x600), (0x600, 0x700), (0x900, 0x980), (0xB80, 0xC00),
    (0xE00, 0xE80), (0x1000, 0x10A0), (0x1100, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2070), (0x2100, 0x2150),
    (0x2600, 0x27C0), (0x3000, 0x3100), (0x4E00, 0x5200), (0xAC00, 0xB000), (0xF900, 0xFB00), (0xFB00, 0xFB50),
    (0xFF00, 0xFFF0), (0x1D400, 0x1D800), (0x1F300, 0x1F650), (0x20000, 0x20100), (0, 0x20), (0x7F, 0xA0)]
SPECIALS = ["<s>", "</s>", "<unk>", "<tool>", "river", "é", "  ", "[X]", "Day"]


def strings(count=2000, specials=None):
    rng = random.Random(7)
    out = ["", " ", "\n", "a" * 300, " " * 40 + "x", "\n" * 20]
    while len(out) < count:
        parts = []
        for _ in range(rng.randrange(1, 7)):
            kind = rng.random()
            if kind < 0.35:
                parts.append(rng.choice(WORDS) + rng.choice([" ", " ", "", ", "]))
            elif kind < 0.5:
                low, high = rng.choice(BLOCKS)
                parts.append("".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 6))))
            elif kind < 0.65:
                parts.append(rng.choice(ODD) * rng.choice([1, 1, 2, 3]))
            elif kind < 0.75:
                parts.append(rng.choice(EMOJI))
            elif kind < 0.83:
                parts.append(str(rng.randrange(10 ** rng.randrange(1, 9))))
            elif kind < 0.92:
                parts.append(rng.choice(specials or SPECIALS))
            else:
                parts.append(rng.choice("ab,.;:!?'\"-_=+*/\\|<>()[]{}#@$%^&~`") * rng.randrange(1, 4))
        text = "".join(parts)
        if len(out) % 8 == 7:
            text = unicodedata.normalize(rng.choice(["NFC", "NFD", "NFKD"]), text)
        # Characters that were assigned after the library's tables were made are another matter.
        out.append("".join(c for c in text if unicodedata.category(c) != "Cn"))
    return out


def fnv(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{value:08x}"


def hashes(results):
    return "".join(
        fnv(json.dumps(results[i:i + 10], ensure_ascii=False, separators=(",", ":")))
        for i in range(0, len(results), 10)
    )


def case(node, run, inputs):
    try:
        results = [run(text) for text in inputs]
    except BaseException as error:  # the library panics for some
        return {"node": node, "error": str(error)[:100]}
    return {"node": node, "hashes": hashes(results)}


def component(kind, node):
    return {"normalizer": normalizers.Normalizer, "pre_tokenizer": pre_tokenizers.PreTokenizer,
            "decoder": decoders.Decoder}[kind].from_str(json.dumps(node))


def load(kind, node):
    """Nodes are read as tokenizer.json's are: by a whole tokenizer."""
    whole = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None,
             "decoder": None, "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, kind: node}
    return getattr(Tokenizer.from_str(json.dumps(whole)), kind)


def regex(pattern):
    return {"Regex": pattern}


GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
PATTERNS = [
    GPT4, O200K, r"\p{N}", r"[一-龥぀-ゟ゠-ヿ]+", r"\s?\p{L}+|\s?\p{P}+|[一-龥ࠀ-一가-퟿]+|\p{N}+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\b", r"\w+", r"\W", r"(?<=a)b?", r"(?<!\s)\S", r"(?<=\p{L}{2})\p{L}", r"a*?", r"(?>a+)b?", r"[^\S\n]+", r"(a)(b)\2?",
    r"\p{^L}+", r"\P{L}+", r"[[:alpha:]&&[^aeiou]]+", r"[[:punct:]]", r"[\p{L}--a]", r"\h+", r"\R", r"^.", r".$", r"\A.", r".\z",
    r".\Z", r"(?m:.)+", r"(?x: a  b # c\n)", r"(?i)the", r"(?i:k)", r"x{2,3}", r"a{,2}", r"a{2}+", r"a{1}?", r"(?:ab?)+", r"(?:a|ab)c?",
    r"\x{4e00}", r"\u4e00", r"\x41", r"\t|\n", r"[\s\S]{3}", r"\G\s", r"(?<n>a)\k<n>", r"\p{Han}+", r"\p{Script=Han}", r"\p{Foo}", r"(?i:ß)",
    r"(", r"[a", r"a**", r"\p{Emoji}", r"[a-\d]", r"(?#c)a", r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    r"(?:\r?\n)+", r"(?:(?:a|b)+c?)*", r"\s+(?=\s)|\S", r"", r"[]a]", r"[a-]", r"{", r"a{b", r"\.", r"[\[\]]",
]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]

NORMALIZERS = [{"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Nmt", "Lowercase", "StripAccents", "ByteLevel", "Foo")]
NORMALIZERS += [{"type": "Strip", "strip_left": a, "strip_right": b} for a in (True, False) for b in (True, False)]
NORMALIZERS += [{"type": "Replace", "pattern": p, "content": c} for p, c in (
    ({"String": " "}, "▁"), ({"String": "."}, "$1"), ({"String": ""}, "-"), (regex(r"\s+"), " "), (regex(r"(e)"), r"$1\1$&"),
    (regex(" {2,}"), "▁"), ({"regex": "a"}, "b"), ({"String": "a", "Regex": "b"}, "c"))]
NORMALIZERS += [{"type": "Prepend", "prepend": "▁"}, {"type": "Prepend"}, {"type": "Strip"},
                {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]},
                {"type": "Sequence", "normalizers": []}]
NORMALIZERS += [{"type": "BertNormalizer", "clean_text": c, "handle_chinese_chars": h, "strip_accents": s, "lowercase": lo}
                for c, h, s, lo in ((True, True, None, True), (False, True, None, False), (True, False, True, False), (False, False, False, True))]

PRE_TOKENIZERS = [{"type": name} for name in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Punctuation", "FixedLength", "Foo")]
PRE_TOKENIZERS += [{"type": "ByteLevel", "add_prefix_space": a, "trim_offsets": True, "use_regex": r} for a in (True, False) for r in (True, False)]
PRE_TOKENIZERS += [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}, {"type": "ByteLevel"}]
PRE_TOKENIZERS += [{"type": "Split", "pattern": regex(p), "behavior": "Isolated", "invert": False} for p in PATTERNS]
PRE_TOKENIZERS += [{"type": "Split", "pattern": p, "behavior": b, "invert": i} for p in (regex(r"\s+"), {"String": "a"}, regex(r"\p{L}")) for b in BEHAVIORS for i in (False, True)]
PRE_TOKENIZERS += [{"type": "Split", "pattern": {"regex": "a"}, "behavior": "Isolated", "invert": False},
                   {"type": "Split", "pattern": {"String": "a"}, "behavior": "isolated", "invert": False},
                   {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": False},
                   {"type": "Split", "pattern": {"String": "a"}, "behavior": "Isolated"}]
PRE_TOKENIZERS += [{"type": "Punctuation", "behavior": b} for b in BEHAVIORS]
PRE_TOKENIZERS += [{"type": "Digits", "individual_digits": d} for d in (True, False)]
PRE_TOKENIZERS += [{"type": "Delimiter", "delimiter": "e"}, {"type": "CharDelimiterSplit", "delimiter": "e"}, {"type": "FixedLength", "length": 3}, {"type": "FixedLength", "length": 0}]
PRE_TOKENIZERS += [{"type": "Metaspace", "replacement": "▁", "prepend_scheme": s, "split": x} for s in ("first", "never", "always") for x in (True, False)]
PRE_TOKENIZERS += [{"type": "Metaspace", "replacement": "_", "add_prefix_space": a} for a in (True, False)]
PRE_TOKENIZERS += [{"type": "Metaspace", "replacement": "▁", "add_prefix_space": True, "prepend_scheme": "never"},
                   {"type": "Metaspace", "replacement": "▁", "add_prefix_space": False, "prepend_scheme": "first"},
                   {"type": "Metaspace", "replacement": "ab"}, {"type": "Metaspace"},
                   {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}]},
                   {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": regex(GPT4), "behavior": "Removed", "invert": True}, {"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
                   {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}, {"type": "Digits", "individual_digits": True}]},
                   {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "Punctuation"}]}]

DECODERS = [{"type": name} for name in ("ByteFallback", "Fuse", "Foo")]
DECODERS += [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}]
DECODERS += [{"type": "Metaspace", "replacement": "▁", "prepend_scheme": s, "split": True} for s in ("first", "never", "always")]
DECODERS += [{"type": "WordPiece", "prefix": "##", "cleanup": c} for c in (True, False)]
DECODERS += [{"type": "BPEDecoder", "suffix": "</w>"}, {"type": "BPEDecoder", "suffix": ""}]
DECODERS += [{"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": c} for c in (True, False)]
DECODERS += [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "Replace", "pattern": regex(r"(\w)\w"), "content": "$1"}]
DECODERS += [{"type": "Strip", "content": " ", "start": a, "stop": b} for a, b in ((1, 0), (2, 0), (0, 0))]
DECODERS += [{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}]
PIECES = ["▁the", "the", "er", "##er", "</w>", "a</w>", "<0x0A>", "<0xE6>", "<0x9D>", "<0xB1>", "<0xGG>", "<0x+1>", "Ġriver", "Ã©", "Ð", "é", "<pad>", "|", " ", "  x", " n't",
          " .", "", "▁", "a", "a", "东", "😀", " do not"]


def token(content, id=0, **more):
    return dict({"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}, **more)


def whole(model, **parts):
    return dict({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
                 "post_processor": None, "decoder": None, "model": model}, **parts)


CHARS = list("abcdefghinorstuvxy .,'▁0123456789") + ["é", "东", "你", "好", "Ġ", "😀"]
MERGES = [("t", "h"), ("th", "e"), ("▁", "the"), ("e", "r"), ("i", "n"), ("in", "g"), ("r", "i"), ("ri", "v"), ("riv", "er"), ("a", "n"), (" ", "the"), ("▁", "▁"), ("a", "a"),
          ("aa", "aa"), ("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc"), ("你", "好"), (".", "."), ("..", ".")]


def bpe(chars=CHARS, merges=MERGES, **more):
    vocab = {}
    for piece in ["<unk>", "<s>", "</s>", *chars, *(a + b for a, b in merges)]:
        vocab.setdefault(piece, len(vocab))
    return dict({"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                 "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": [list(m) for m in merges]}, **more)


def affixed(prefix, suffix):
    pieces = ["<unk>", *"theriv", *(prefix + c for c in "theriv"), *(c + suffix for c in "theriv"), *(prefix + c + suffix for c in "theriv"), "th", "the" + suffix]
    model = bpe(chars=pieces, merges=[])
    model["vocab"].update({p: len(model["vocab"]) + i for i, p in enumerate({"th", "the" + suffix} - set(model["vocab"]))})
    model["merges"] = [["t", prefix + "h"], ["th", prefix + "e" + suffix]] if suffix else [["t", prefix + "h"]]
    return dict(model, continuing_subword_prefix=prefix, end_of_word_suffix=suffix, unk_token="<unk>")


BYTES = [f"<0x{b:02X}>" for b in range(256)]
UNIGRAM = [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0], ["▁", -2.0], ["▁the", -3.0], ["t", -5.0], ["h", -5.5], ["e", -5.0], ["he", -7.0], ["r", -5.0], ["er", -6.0], ["riv", -8.5],
           ["i", -5.0], ["v", -6.0], ["a", -4.0], ["aa", -7.9], ["aaa", -8.0], ["你", -9.0], ["你好", -10.0], ["😀", -9.0], [".", -4.0], ["..", -8.0]]
WORDPIECE = {p: i for i, p in enumerate(["[UNK]", "the", "##er", "r", "##iv", "ri", "##v", "a", "##a", "你", "##好", ",", ".", "don", "'", "t"])}
META = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
FIRST = dict(META, prepend_scheme="first")
SPLIT = {"type": "WhitespaceSplit"}
SP = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
BACK = DECODERS[-1]
TOKENS = [token("<s>", 1), token("</s>", 2), token("<unk>", 0)]
EXTRA = TOKENS + [token("<tool>", 400), token("river", 401, single_word=True, special=False), token("[X]", 402, lstrip=True, rstrip=True), token("é", 403, normalized=True, special=False),
                  token("Day", 404, normalized=True, special=False, lstrip=True), token("  ", 405, special=False), token("<s><tool>", 406), token("", 407)]
TEMPLATE = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}

TOKENIZERS = [
    whole(bpe()), whole(bpe(unk_token="<unk>")), whole(bpe(unk_token="<unk>", fuse_unk=True)), whole(bpe(unk_token="<none>")),
    whole(bpe(chars=CHARS + BYTES, byte_fallback=True)), whole(bpe(chars=CHARS + BYTES, byte_fallback=True, unk_token="<unk>"), normalizer=SP, decoder=BACK, added_tokens=TOKENS),
    whole(bpe(chars=CHARS + BYTES[:0xE0], byte_fallback=True, unk_token="<unk>", fuse_unk=True)), whole(bpe(chars=CHARS + BYTES[:0xE0], byte_fallback=True, unk_token="<unk>")),
    whole(bpe(ignore_merges=True), pre_tokenizer=SPLIT), whole(bpe(dropout=0.5)), whole(bpe(dropout=0.0)),
    whole({k: v for k, v in bpe().items() if k != "type"}), whole(dict(bpe(), merges=[f"{a} {b}" for a, b in MERGES])), whole(dict(bpe(), merges=["#version: 0.2"] + [f"{a} {b}" for a, b in MERGES])),
    whole(dict(bpe(), merges=["a b c"])), whole(dict(bpe(), merges=[["q", "q"]])), whole(dict(bpe(), merges=[["t", "h"], ["a", "n"], ["t", "h"]])),
    whole(affixed("", "</w>"), pre_tokenizer=SPLIT), whole(affixed("##", ""), pre_tokenizer=SPLIT), whole(affixed("##", "</w>"), pre_tokenizer=SPLIT, decoder={"type": "BPEDecoder", "suffix": "</w>"}),
    whole({"type": "Unigram", "unk_id": 0, "vocab": UNIGRAM, "byte_fallback": False}, pre_tokenizer=META, decoder=META), whole({"type": "Unigram", "unk_id": 0, "vocab": UNIGRAM + [[b, -20.0] for b in BYTES], "byte_fallback": True}, pre_tokenizer=META, decoder={"type": "Sequence", "decoders": [{"type": "ByteFallback"}, META]}),
    whole({"type": "Unigram", "unk_id": 0, "vocab": UNIGRAM + [[b, 0.0] for b in BYTES[:0xE0]], "byte_fallback": True}), whole({"type": "Unigram", "unk_id": None, "vocab": UNIGRAM, "byte_fallback": False}),
    whole({"type": "Unigram", "unk_id": 99, "vocab": UNIGRAM}), whole({"unk_id": 0, "vocab": UNIGRAM}), whole({"type": "Unigram", "unk_id": 3, "vocab": UNIGRAM}, normalizer=SP),
    whole({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": WORDPIECE}, normalizer=NORMALIZERS[-4], pre_tokenizer={"type": "BertPreTokenizer"}, decoder=DECODERS[7]),
    whole({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "", "max_input_chars_per_word": 4, "vocab": WORDPIECE}, pre_tokenizer=SPLIT), whole({"type": "WordPiece", "unk_token": "[NO]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 4, "vocab": WORDPIECE}, pre_tokenizer=SPLIT),
    whole({"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": WORDPIECE}, pre_tokenizer=SPLIT),
    whole({"type": "WordLevel", "unk_token": "[UNK]", "vocab": WORDPIECE}, pre_tokenizer={"type": "Whitespace"}), whole({"type": "WordLevel", "unk_token": "[NO]", "vocab": WORDPIECE}, pre_tokenizer=SPLIT), whole({"unk_token": "[UNK]", "vocab": WORDPIECE}, pre_tokenizer=SPLIT),
    whole({"type": "Foo", "vocab": {}}),
    whole(bpe(unk_token="<unk>"), added_tokens=EXTRA), whole(bpe(unk_token="<unk>"), added_tokens=EXTRA, normalizer={"type": "Lowercase"}), whole(bpe(unk_token="<unk>"), added_tokens=EXTRA, normalizer=SP, decoder=BACK),
    whole(bpe(unk_token="<unk>"), added_tokens=EXTRA, normalizer={"type": "NFD"}, pre_tokenizer=FIRST), whole(bpe(unk_token="<unk>"), added_tokens=EXTRA, normalizer={"type": "Strip", "strip_left": True, "strip_right": True}, pre_tokenizer=FIRST),
    whole(bpe(unk_token="<unk>"), added_tokens=TOKENS, pre_tokenizer=dict(FIRST, split=False), post_processor=TEMPLATE),
    whole(bpe(), added_tokens=[token("<s>", -1)]), whole(bpe(), added_tokens=[token("<s>", 1.5)]), whole(bpe(), added_tokens=[{"id": 1, "content": "<s>"}]), whole(bpe(), added_tokens=[token("<new>", 10**9)]),
    whole(dict(bpe(), vocab=dict(bpe()["vocab"], a=-5))), whole(dict(bpe(), vocab=dict(bpe()["vocab"], zz=10**9))), whole(dict(bpe(), vocab=dict(bpe()["vocab"], a=1.5))), whole(dict(bpe(), vocab=dict(bpe()["vocab"], a="7"))),
    whole(bpe(), post_processor={"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}, TEMPLATE]}),
    whole(bpe(), post_processor={"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}), whole(bpe(), post_processor={"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": True, "add_prefix_space": True}),
    whole(bpe(), post_processor={"type": "Foo"}), dict(whole(bpe()), version="2.0"),
]


def tokenizer_case(node, texts):
    try:
        tokenizer = Tokenizer.from_str(json.dumps(node))
    except BaseException as error:
        return {"node": node, "error": str(error)[:100]}

    def run(text):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        return [ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids), tokenizer.encode(text).ids]

    return case(node, run, texts)


def main():
    texts = strings()
    rng = random.Random(5)
    chains = [[rng.choice(PIECES) for _ in range(rng.randrange(1, 7))] for _ in range(2000)]
    out = {"strings": texts, "chains": chains, "normalizers": [], "pre_tokenizers": [], "decoders": [], "tokenizers": []}
    for kind, nodes, run, inputs in (
        ("normalizer", NORMALIZERS, lambda part: part.normalize_str, texts),
        ("pre_tokenizer", PRE_TOKENIZERS, lambda part: lambda text: [piece for piece, _ in part.pre_tokenize_str(text)], texts),
        ("decoder", DECODERS, lambda part: part.decode, chains),
    ):
        for node in nodes:
            try:
                part = load(kind, node)
            except BaseException as error:
                out[kind + "s"].append({"node": node, "error": str(error)[:100]})
                continue
            out[kind + "s"].append(case(node, run(part), inputs))
    out["tokenizers"] = [tokenizer_case(node, texts) for node in TOKENIZERS]
    json.dump(out, sys.stdout, ensure_ascii=False, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
