"""What `tokenizers` does with 2,000 strings by real tokenizers, whose licences keep them out of this repository.

    python tests/golden/tokenizers_real.py path/to/tokenizer.json ... > real.json
    MIPO_TOKENIZERS=real.json deno test -A tests/data/tokenizers_real_test.ts

{path: [[text, ids without specials, ids with, decoded, decoded without specials], ...]}
"""
import json
import sys

from tokenizer_nodes import strings
from tokenizers import Tokenizer


def rows(path):
    tokenizer = Tokenizer.from_file(path)
    with open(path) as file:
        specials = [token["content"] for token in json.load(file)["added_tokens"]][:60]
    for text in strings(specials=specials):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        yield [text, ids, tokenizer.encode(text).ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids)]


json.dump({path: list(rows(path)) for path in sys.argv[1:]}, sys.stdout)
