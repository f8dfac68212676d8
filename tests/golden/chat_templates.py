"""Makes tests/fixtures/jinja/templates.json: hashes of what Transformers renders with every chat template of TRL.

    python tests/golden/chat_templates.py > tests/fixtures/jinja/templates.json

The templates themselves are read from the installed `trl` (its folder chat_templates); the test wants that folder's
path in MIPO_CHAT_TEMPLATES. 16 conversations, each with and without the generation prompt. An error is "!".
"""
import datetime
import json
import sys
from pathlib import Path

import trl
from transformers.utils import chat_template_utils
from transformers.utils.chat_template_utils import _compile_jinja_template


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2025, 3, 7, 9, 5, 3)


chat_template_utils.datetime = Clock
TOKENS = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
user = lambda content, **more: dict(role="user", content=content, **more)
assistant = lambda content, **more: dict(role="assistant", content=content, **more)
system = lambda content: dict(role="system", content=content)
CLOCK = {"type": "function", "function": {"name": "clock", "description": "Says \"when\" & <where>, é", "parameters": {
    "type": "object", "properties": {"zone": {"type": "string", "description": "An IANA zone", "enum": ["UTC", "CET"]},
                                     "exact": {"type": ["boolean", "null"], "default": None}, "digits": {"type": "integer", "minimum": 0, "maximum": 2.5}},
    "required": ["zone"]}, "return": {"type": "string", "description": "the time"}}}
SUM = {"type": "function", "function": {"name": "sum", "description": "Adds", "parameters": {"type": "object", "properties": {"terms": {"type": "array", "items": {"type": "number"}}}}}}
call = lambda arguments, **more: dict(type="function", function={"name": "clock", "arguments": arguments}, **more)
CONVERSATIONS = [
    dict(messages=[user("Hi")]),
    dict(messages=[system("Be brief."), user("Hi")]),
    dict(messages=[system(""), user("Hi")]),
    dict(messages=[user("Hi"), assistant("Hello!")]),
    dict(messages=[system("Be\n brief. "), user(" Hi \n"), assistant(" Hello! \n"), user("And?\n\n")]),
    dict(messages=[user("1"), assistant("2"), user("3"), assistant("4"), user("5"), assistant("6")]),
    dict(messages=[user("q"), assistant("<think>\nhm\n</think>\n\nanswer"), user("q2"), assistant("<think>x</think>a2")]),
    dict(messages=[user("q"), assistant("a", reasoning_content="because\n"), user("more"), assistant("b", reasoning_content="so")]),
    dict(messages=[user("Time?")], tools=[CLOCK, SUM]),
    dict(messages=[system("Use tools."), user("Time?"), assistant("", tool_calls=[call({"zone": "UTC", "n": 1.5, "deep": {"a": [1, None, True, "é\"<"]}}, id="call00001")]),
                   dict(role="tool", name="clock", content="12:00", tool_call_id="call00001"), assistant("Noon.")], tools=[CLOCK]),
    dict(messages=[user("Time?"), assistant(tool_calls=[call({"zone": "UTC"}, id="abcdefghi"), call({"zone": "CET"}, id="bcdefghij")], content="Let me see."),
                   dict(role="tool", name="clock", content="12:00", tool_call_id="abcdefghi"), dict(role="tool", name="clock", content='{"t": "13:00"}', tool_call_id="bcdefghij")], tools=[CLOCK]),
    dict(messages=[user([{"type": "text", "text": "Look"}, {"type": "text", "text": " here"}]), assistant([{"type": "text", "text": "I see"}])]),
    dict(messages=[system("s"), user("Ünïcödé 你好 😀 {{ x }} {% y %} </s>"), assistant("'quoted' \"double\" \\ back")]),
    dict(messages=[assistant("I begin"), user("ok")]),
    dict(messages=[user("a"), user("b"), assistant("c"), assistant("d")]),
    dict(messages=[user("Hi")], enable_thinking=False, date_string="26 Jul 2024", documents=[{"title": "T", "text": "body"}], reasoning_effort="high"),
]


def fnv(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{value:08x}"


def render(template, conversation, prompt):
    variables = dict(tools=None, documents=None, **TOKENS)
    variables.update(conversation, add_generation_prompt=prompt)
    try:
        return fnv(template.render(**variables))
    except Exception:
        return "!"


def main():
    folder = Path(trl.__file__).parent / "chat_templates"
    extra = [Path(name) for name in sys.argv[1:]]
    out = {"tokens": TOKENS, "conversations": CONVERSATIONS, "templates": {}}
    for path in sorted(folder.glob("*.jinja")) + extra:
        template = _compile_jinja_template(path.read_text())
        out["templates"][path.name] = " ".join(render(template, c, p) for c in CONVERSATIONS for p in (False, True))
    json.dump(out, sys.stdout, ensure_ascii=False, separators=(",", ":"))
    print()


main()
