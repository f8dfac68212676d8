/**
 * Chat templates' language against Jinja itself, under Transformers' settings; and its limits.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { fnv } from "../fnv.ts";
import { TemplateError, TemplateSyntaxError } from "../../lib/data/jinja/errors.ts";
import { Template } from "../../lib/data/jinja/template.ts";

const FIXTURES = new URL("../fixtures/jinja/", import.meta.url);
const read = async (name: string) => JSON.parse(await Deno.readTextFile(new URL(name, FIXTURES)));
const now = () => new Date(2025, 2, 7, 9, 5, 3);

/** What Jinja does and is refused here, by what the message says. */
const REFUSED: Readonly<Record<string, string>> = {
  "{{ raise_exception }}": "an address in memory",
  "{{ 10 ** 20 }}": "beyond 2^53",
  "{% block b %}x{% endblock %}": "the tag block is not known",
  "{{ super }}{{ self is defined }}{{ caller is defined }}{{ varargs is defined }}":
    "self, the template's blocks",
};

Deno.test("jinja: every construct as in Python (tests/golden/jinja_constructs.py)", async () => {
  const { variables, cases } = await read("constructs.json") as {
    variables: Record<string, unknown>;
    cases: [source: string, text: string | null][];
  };
  assert(cases.length > 250);
  for (const [source, text] of cases) {
    const render = () => new Template(source).render(variables, { now });
    if (source in REFUSED) {
      const error = assertThrows(render, Error, REFUSED[source], source);
      assert(error instanceof TemplateError || error instanceof TemplateSyntaxError, source);
    } else if (text === null) {
      const error = assertThrows(render, Error, undefined, source);
      assert(error instanceof TemplateError || error instanceof TemplateSyntaxError, `${source}: ${error}`);
    } else assertEquals(render(), text, source);
  }
});

const folder = Deno.env.get("MIPO_CHAT_TEMPLATES");

Deno.test({
  name: "jinja: every chat template of TRL on 16 conversations, where MIPO_CHAT_TEMPLATES has them",
  ignore: folder === undefined,
  async fn() {
    const { tokens, conversations, templates } = await read("templates.json") as {
      tokens: Record<string, string>;
      conversations: Record<string, unknown>[];
      templates: Record<string, string>;
    };
    assert(Object.keys(templates).length > 70 && conversations.length === 16);
    for (const [name, hashes] of Object.entries(templates)) {
      const template = new Template(await Deno.readTextFile(`${folder}/${name}`));
      const have = conversations.flatMap((conversation) =>
        [false, true].map((add_generation_prompt) => {
          const given = { tools: null, documents: null, ...tokens, ...conversation, add_generation_prompt };
          try {
            return fnv(template.render(given, { now }));
          } catch (error) {
            assert(error instanceof TemplateError, `${name}: ${error}`);
            return "!";
          }
        })
      );
      assertEquals(have.join(" "), hashes, name);
    }
  },
});

Deno.test("jinja: a template that does not end, or grows without end, is stopped", () => {
  const start = performance.now();
  for (
    const [source, message] of [
      ["{% for i in range(30000) %}{% for j in range(30000) %}{% endfor %}{% endfor %}", "takes more than"],
      ["{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls itself more than"],
      ["{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}", "calls itself more than"],
      [
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "takes more than",
      ],
      [
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "takes more than",
      ],
      ["{{ 'x' * 1000000000 }}", "makes a value of"],
      ["{{ ([0] * 1000000000) | length }}", "makes a value of"],
      ["{{ 'x'.ljust(1000000000) }}", "makes a value of"],
      ["{{ '%1000000000d' % 1 }}", "makes a value of"],
      ["{{ '{:1000000000}'.format(1) }}", "makes a value of"],
      ["{{ 'a'.join(['x' * 10000000] * 100) }}", ""],
      ["{% for i in range(100000) %}{{ 'x' * 100000 }}{% endfor %}", "takes more than"],
      [
        "{% for i in range(100000) %}{{ ('x' * 100000) | replace('x', 'yy') | length }}{% endfor %}",
        "takes more than",
      ],
      [`{{ ${"(".repeat(20_000)}1${")".repeat(20_000)} }}`, ""],
      [`{{ ${"[".repeat(3000)}${"]".repeat(3000)} }}`, ""],
      [`{{ ${"-".repeat(20_000)}1 }}`, ""],
    ]
  ) {
    const error = assertThrows(() => new Template(source).render({}), Error, message, source.slice(0, 100));
    assert(
      error instanceof TemplateError || error instanceof TemplateSyntaxError,
      `${source.slice(0, 60)}: ${error}`,
    );
  }
  // Each of them would take hours, or all memory; a busy machine may take its time.
  assert(performance.now() - start < 60_000);
});
