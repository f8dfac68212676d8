"""Makes tests/fixtures/jinja/constructs.json: what Jinja writes, under Transformers' settings, for each construct.

    python tests/golden/jinja_constructs.py > tests/fixtures/jinja/constructs.json

[source, text]; the text is null where Python raises (when reading the template, or when running it).
"""
import datetime
import json
import sys

from transformers.utils import chat_template_utils
from transformers.utils.chat_template_utils import _compile_jinja_template


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2025, 3, 7, 9, 5, 3)


chat_template_utils.datetime = Clock
VARIABLES = dict(
    t=True, f=False, n=None, one=1, zero=0, x=2.5, s="Hello World", e="", u="héllo 你好 😀", l=[3, 1, 2], el=[], d={"b": 1, "a": [1, None, True], "c": {"k": "v\"'"}},
    ed={}, q="it's", dq='say "hi"', ml="a\n  b\r\nc\n", messages=[{"role": "system", "content": ""}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo", "tool_calls": None}],
    items=[{"n": "x", "v": 2, "tags": ["p"]}, {"n": "Y", "v": 1, "tags": []}, {"n": "x", "v": 3}], tools=None)

SOURCES = r"""
{% for i in [1,2,3] %}a{{ i }}{% if i == 2 %}{% continue %}{% endif %}b{% endfor %}
{% for i in [1,2,3] %}a{{ i }}{% if i == 2 %}{% break %}{% endif %}b{% endfor %}
{% for i in [1,2] %}{% for j in [1,2] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }}{% endfor %};{% endfor %}
{{ '' != false }}{{ '' == false }}{{ 0 == false }}{{ 1 == true }}{{ none == false }}{{ 1.0 == 1 }}{{ '1' == 1 }}
{{ tools is none }}{{ tools is defined }}{{ documents is defined }}{{ tools is not none }}
{{ none }}|{{ true }}|{{ false }}|{{ n }}|{{ t }}|{{ undefinedname }}|
{{ undefinedname is none }}{{ undefinedname is undefined }}{{ undefinedname == none }}{{ not undefinedname }}
{% for c in 'héé😀' %}[{{ c }}]{% endfor %}{% for k in d %}{{ k }}{% endfor %}
{{ items | selectattr('n', 'in', ['x']) | map(attribute='v') | list }}
{{ items | selectattr('v', 'gt', 1) | list | length }}{{ items | rejectattr('n', 'equalto', 'x') | list | length }}
{{ items | selectattr('tags') | list | length }}{{ items | selectattr('tags', 'defined') | list | length }}
{{ d | string }}{{ l | string }}{{ x | string }}{{ n | string }}{{ t | string }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %A %a %B %b %d %j %I %p %y %U %W %w %%') }}
{{ strftime_now('%-d %-m %e %D %F %T %R %c %x %X %C %h %k %l %u %V %G %Z|%z|%f') }}
{{ d }}
{{ [1, 2.0, 'a', none, true, {'a': 'b'}, (1,), (1, 2), ()] }}
{{ [q, dq, 'a\nb\t\\', 'é\x00\u200b😀'] }}
{{ 1/2 }} {{ 4/2 }} {{ 7//2 }} {{ -7//2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ 2**10 }} {{ 2**-1 }} {{ 2**0.5 }} {{ -2**2 }} {{ 2**3**2 }}
{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 123456789.123 }} {{ 1.0 }} {{ 100.0 }} {{ 1e-7 }} {{ 1.5e300 * 1e10 }}
{{ 1_000 }} {{ 0x1f }} {{ 0b11 }} {{ 0o17 }} {{ 1.5 }} {{ 00 }}
{{ 'a' + 'b' }}{{ 'a' ~ 1 ~ none ~ true }}{{ [1] + [2] }}{{ 'ab' * 3 }}{{ [0] * 2 }}{{ 3 * 'x' }}{{ true + 1 }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ none + 1 }}
{{ undefinedname + 1 }}
{{ undefinedname.x }}
{{ d.x }}|{{ d.x.y }}
{{ d.x is defined }}{{ d['x'] is defined }}{{ n.x is defined }}{{ d.c.k }}{{ d['c']['k'] }}{{ d.get('b') }}{{ d.get('zz') }}{{ d.get('zz', 5) }}
{{ l[0] }}{{ l[-1] }}{{ l[5] is defined }}{{ l.0 }}{{ s[0] }}{{ s[-1] }}{{ u[-1] }}{{ u[9] }}{{ u | length }}
{{ l[1:] }}{{ l[:-1] }}{{ l[::-1] }}{{ s[1:4] }}{{ s[::-1] }}{{ u[::-1] }}{{ s[::2] }}{{ (1,2,3)[1:] }}{{ l[5:] }}{{ s[-3:] }}
{{ messages[0]['content'] == '' }}{{ messages[0].content != false }}{{ messages[1:] | length }}{{ messages[-1].role }}
{{ 'a' in 'abc' }}{{ 'z' not in 'abc' }}{{ 1 in [1,2] }}{{ 'b' in d }}{{ 'x' in undefinedname }}{{ none in [none] }}{{ '' in 'a' }}
{{ 1 in 'abc' }}
{{ 'a' in none }}
{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 'a' < 'b' }}{{ [1,2] < [1,3] }}{{ (1,) < (1, 2) }}{{ 1 <= 1.0 }}
{{ 'a' < 1 }}
{{ none < 1 }}
{{ 1 if t }}|{{ 1 if f }}|{{ 1 if f else 2 }}|{{ (1 if f) is defined }}
{{ t and 'a' }}{{ e or 'b' }}{{ n or 0 }}{{ f and 1 }}{{ not e }}{{ not [0] }}{{ e and 1 }}|{{ [] or {} }}
{{ -x }}{{ +x }}{{ -l[0] }}{{ -1 | abs }}{{ (-1) | abs }}{{ -2.5 | abs }}
{% set a = 1 %}{% for i in [1,2] %}{% set a = i + 10 %}{{ a }}{% endfor %}{{ a }}
{% set ns = namespace(a=1) %}{% for i in [1,2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.zz is defined }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns['a'] }}
{% set ns = namespace() %}{% set ns._a = 1 %}
{% set d.a = 1 %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, e2) = [3, 4] %}{{ c }}{{ e2 }}
{% set a, b = 1, 2, 3 %}
{% set a %}x{{ 1 }}y{% endset %}[{{ a }}]{{ a | length }}
{% set a | upper | trim %} x{{ 1 }}y {% endset %}[{{ a }}]
{% if t %}{% set a = 5 %}{% endif %}{{ a }}
{% if 0 %}a{% elif '' %}b{% elif [] %}c{% elif {} %}d{% else %}e{% endif %}
{% for i in [] %}x{% else %}none{% endfor %}{% for i in undefinedname %}x{% else %}none{% endfor %}
{% for i in none %}x{% endfor %}
{% for i in 5 %}x{% endfor %}
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}
{% for i in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i > 1) }}{% endfor %}
{% for i in l if i > 1 %}{{ loop.index }}/{{ loop.length }}:{{ i }} {% endfor %}
{% for i in l if i > 5 %}x{% else %}nothing{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in d | dictsort %}{{ k }}{% endfor %}
{% for k in d.keys() %}{{ k }}{% endfor %}{% for v in d.values() %}{{ v }}{% endfor %}{{ d.items() }}{{ d.keys() }}{{ d.values() | list }}
{% for a, b in [[1, 2], (3, 4)] %}{{ a }}{{ b }}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{{ a }}{% endfor %}
{% for item in [{'k': [{'k': []}]}] recursive %}<{{ loop.depth }}{{ loop(item.k) }}>{% endfor %}
{% for i in l %}{{ loop(l) }}{% endfor %}
{% macro m(a, b=2, c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, z=4) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(zz=2) }}
{% macro m(a) %}[{{ caller() }}|{{ a }}]{% endmacro %}{% call m(1) %}body{% endcall %}
{% macro m(a) %}[{{ caller(a, 2) }}]{% endmacro %}{% call(x, y) m(1) %}{{ x }}-{{ y }}{% endcall %}
{% macro fact(k) %}{{ k * fact(k - 1) | int if k > 1 else 1 }}{% endmacro %}{{ fact(5) }}
{% macro m() %}{{ later }}{% endmacro %}{% set later = 7 %}{{ m() }}
{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(3) }}
{% macro m(a=1, b) %}{% endmacro %}
{% macro m() %}  x  {% endmacro %}[{{ m() | trim }}]{{ m.name }}{{ m.arguments }}
{% macro inner() %}i{% endmacro %}{% macro outer() %}{{ inner() }}{% set z = 1 %}{% endmacro %}{{ outer() }}{{ z is defined }}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a is defined }}{{ c is defined }}
{% filter upper %}abc{{ 'd' }}{% endfilter %}{% filter replace('a', 'b') | upper %}aa{% endfilter %}
{% generation %}abc{% set zz = 1 %}{% endgeneration %}{{ zz is defined }}
{% raw %}{{ x }}{% y %}{% endraw %}|{%- raw -%}  a  {%- endraw -%}  |
{# comment #}a{#- c -#}  b  {#- d #}
  {% if t %}  a  {% endif %}  b
{%- if t -%}  a  {%- endif -%}  b
{%+ if t +%} a {% endif %}
{{- 'a' -}}   b   {{ 'c' }}
{% print 'a', 1, none %}
{% do l %}
{% unknown %}
{% if t %}
{% endif %}
{{ 'a' 'b' "c" }}
{{ 'a\'b' }}{{ "a\"b" }}{{ 'a\nb' }}{{ '\u00e9\x41\101' }}{{ '\q' }}
{{ s.upper() }}{{ s.lower() }}{{ s.title() }}{{ s.swapcase() }}{{ 'hELLO wORLD'.capitalize() }}{{ 'ß'.upper() }}{{ 'ß'.capitalize() }}
{{ s.startswith('He') }}{{ s.endswith(('x', 'ld')) }}{{ s.startswith('W', 6) }}{{ s.find('o') }}{{ s.rfind('o') }}{{ s.find('zz') }}{{ u.find('好') }}{{ s.count('o') }}{{ s.index('W') }}
{{ s.index('zz') }}
{{ s.split() }}{{ s.split('o') }}{{ s.split('o', 1) }}{{ ' a  b '.split() }}{{ ' a  b '.split(' ') }}{{ 'a b c'.split(maxsplit=1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' a b c '.rsplit(None, 1) }}{{ ''.split() }}{{ ''.split(',') }}
{{ s.split('') }}
{{ s.replace('o', '0') }}{{ s.replace('o', '0', 1) }}{{ 'aaa'.replace('', '-') }}{{ 'aaa'.replace('', '-', 2) }}{{ '$1'.replace('1', '$&') }}
{{ '  a '.strip() }}|{{ '  a '.lstrip() }}|{{ '  a '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcab'.strip('ab') }}|{{ 'abc'.lstrip('ba') }}|{{ '\n\ta\n'.strip('\n') }}
{{ 'a\u00a0'.strip() }}|{{ '\ufeffa'.strip() }}|{{ '\x1ca\x85'.strip() }}|{{ '\u200ba'.strip() }}
{{ ml.splitlines() }}{{ ml.splitlines(true) }}{{ 'a\x0bb\x0cc\x1cd\u2028e'.splitlines() }}{{ ''.splitlines() }}{{ 'a\n\nb'.splitlines(keepends=True) }}
{{ ','.join(['a', 'b']) }}{{ ','.join('abc') }}
{{ ','.join([1, 2]) }}
{{ 'a-b-c'.partition('-') }}{{ 'a-b-c'.rpartition('-') }}{{ 'abc'.partition('-') }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}
{{ 'abc'.isalpha() }}{{ 'ab1'.isalnum() }}{{ '12'.isdigit() }}{{ '²'.isdigit() }}{{ '½'.isnumeric() }}{{ ' \n'.isspace() }}{{ ''.isspace() }}{{ 'aB'.islower() }}{{ 'AB1'.isupper() }}{{ 'Ab Cd'.istitle() }}{{ 'é'.isascii() }}{{ 'a1_'.isidentifier() }}{{ '１'.isdecimal() }}
{{ 'a'.center(5) }}|{{ 'a'.center(4, '*') }}|{{ 'ab'.ljust(4) }}|{{ 'ab'.rjust(4, '.') }}|{{ '-5'.zfill(4) }}|{{ 'a\tb'.expandtabs(4) }}
{{ '{} {}'.format(1, 'a') }}{{ '{0}{1}{0}'.format('a', 'b') }}{{ '{a} {b[0]} {c.k}'.format(a=1, b=l, c=d.c) }}{{ '{{}}'.format() }}
{{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }}{{ '{:05d}|{:+d}|{:,}|{:x}|{:#x}|{:b}|{:o}|{:_}'.format(42, 42, 1234567, 255, 255, 5, 8, 1234567) }}
{{ '{:.2f}|{:8.3f}|{:e}|{:g}|{:.3g}|{:%}|{:.1%}|{:,.2f}'.format(3.14159, 2.5, 12345.678, 0.0001, 1234.5, 0.25, 0.5, 1234567.891) }}
{{ '{!r}|{!s}'.format('a', 'b') }}{{ '{:{}}'.format('a', 5) }}|{{ '{:.2}'.format('abc') }}|{{ '{:5}|{:5}'.format(1, 'a') }}|{{ '{:d}'.format(true) }}{{ '{}'.format(none) }}
{{ '{}'.format() }}
{{ '{a'.format(a=1) }}
{{ '%s %d %5.2f %r %x %%' % ('a', 3, 2.5, 'q', 255) }}{{ '%s' % 'a' }}{{ '%(k)s' % d.c }}{{ '%05d|%-5s|%+d|%5s|%.2s' % (42, 'a', 5, 'b', 'xyz') }}{{ '%s' % none }}{{ '%s' % l }}
{{ '%d' % 'a' }}
{{ '%s %s' % 'a' }}
{{ 'a' % 'b' }}
{{ l | length }}{{ l | count }}{{ s | length }}{{ d | length }}{{ e | length }}{{ undefinedname | length }}
{{ 5 | length }}
{{ none | length }}
{{ l | first }}{{ l | last }}{{ s | first }}{{ s | last }}{{ el | first }}{{ d | first }}{{ el | first is defined }}
{{ l | sort }}{{ l | sort(reverse=true) }}{{ ['b', 'A', 'c'] | sort }}{{ ['b', 'A', 'c'] | sort(case_sensitive=true) }}{{ items | sort(attribute='v') | map(attribute='n') | list }}{{ items | sort(attribute='n,v') | map(attribute='v') | list }}
{{ [1, 'a'] | sort }}
{{ l | reverse | list }}{{ s | reverse }}{{ (1, 2) | reverse | list }}{{ 'a😀' | reverse }}
{{ l | join }}{{ l | join(', ') }}{{ items | join('-', attribute='n') }}{{ s | join('.') }}{{ [none, true, 1.5] | join(',') }}{{ l | join(d='|') }}
{{ l | map('string') | list }}{{ ['a', 'b'] | map('upper') | join }}{{ items | map(attribute='tags', default='none') | list }}{{ items | map(attribute='tags.0', default=0) | list }}{{ [1.5, 2.5] | map('round') | list }}{{ ['a'] | map('replace', 'a', 'b') | list }}
{{ l | select('odd') | list }}{{ l | reject('odd') | list }}{{ [0, 1, '', 'a', none] | select | list }}{{ [1, 2, 3, 4] | select('divisibleby', 2) | list }}{{ ['a', 1] | select('string') | list }}
{{ l | sum }}{{ items | sum(attribute='v') }}{{ l | sum(start=10) }}{{ l | min }}{{ l | max }}{{ ['b', 'A'] | min }}{{ items | max(attribute='v') }}{{ el | max is defined }}{{ [1.5, 2] | sum }}
{{ [1, 2, 1, 'a', 'A'] | unique | list }}{{ items | unique(attribute='n') | map(attribute='v') | list }}{{ ['a', 'A'] | unique(case_sensitive=true) | list }}
{{ items | groupby('n') | map('first') | list }}{% for g, li in items | groupby('n') %}{{ g }}:{{ li | length }};{% endfor %}{% for g in items | groupby('v') %}{{ g.grouper }}{{ g.list | length }}{% endfor %}
{{ [1,2,3,4,5] | batch(2) | list }}{{ [1,2,3] | batch(2, 0) | list }}{{ [1,2,3,4,5] | slice(2) | list }}{{ [1,2,3] | slice(2, 0) | list }}
{{ d | items | list }}{{ undefinedname | items | list }}{{ d | dictsort }}{{ {'b': 1, 'A': 2} | dictsort }}{{ {'b': 1, 'a': 2} | dictsort(by='value') }}{{ {'b': 1, 'a': 2} | dictsort(reverse=true) }}
{{ n | default('x') }}{{ n | default('x', true) }}{{ undefinedname | default('y') }}{{ e | default('z', boolean=true) }}{{ d.zz | default }}|{{ undefinedname | d(none) }}
{{ undefinedname.a | default('x') }}
{{ s | upper }}{{ s | lower }}{{ 'a b-c' | title }}{{ 'hELLO' | capitalize }}{{ "it's o'neil (x)" | title }}
{{ ' a ' | trim }}|{{ 'xax' | trim('x') }}|{{ 5 | trim }}|{{ none | trim }}|{{ undefinedname | trim }}|
{{ s | replace('o', '0') }}{{ s | replace('o', '0', 1) }}{{ 5 | replace(5, 6) }}{{ 'a' | replace('', '-') }}
{{ ml | indent }}{{ ml | indent(2, true) }}{{ 'a\n\nb' | indent(2) }}{{ 'a\n\nb' | indent(2, blank=true) }}{{ 'a\nb' | indent('>>') }}{{ 'a\nb' | indent(width=1, first=True) }}
{{ 'hello world foo' | truncate(9) }}|{{ 'hello world foo' | truncate(9, true) }}|{{ 'hello world' | truncate(9, leeway=0) }}|{{ 'hello world' | truncate(9, end='') }}|{{ 'hi' | truncate(9) }}
{{ 'a' | center(5) }}|{{ 'a b  c' | wordcount }}{{ 'é-ß_1' | wordcount }}
{{ '42' | int }}{{ '4.7' | int }}{{ 'x' | int }}{{ 'x' | int(-1) }}{{ ' 7 ' | int }}{{ 3.9 | int }}{{ -3.9 | int }}{{ none | int }}{{ '0x1f' | int(base=16) }}{{ '1f' | int(0, 16) }}{{ true | int }}{{ '1_0' | int }}{{ [] | int }}
{{ '4.5' | float }}{{ 'x' | float }}{{ 3 | float }}{{ none | float(1.5) }}{{ '1e3' | float }}{{ 'inf' | float }}{{ ' nan ' | float }}
{{ 2.5 | round }}{{ 3.5 | round }}{{ 2.675 | round(2) }}{{ 1.25 | round(1) }}{{ 2.1 | round(method='ceil') }}{{ 2.9 | round(0, 'floor') }}{{ 5 | round }}{{ 1234 | round(-2) }}{{ 2.55 | round(1) }}{{ 0.5 | round }}{{ 1.5 | round }}
{{ d | tojson }}{{ [1.0, 1.5, none, true, 'é\n\x01/<&>'] | tojson }}{{ {} | tojson }}{{ [] | tojson }}{{ 'a"b' | tojson }}{{ 1e20 | tojson }}{{ (1, 2) | tojson }}{{ {1: 2, none: 3, true: 4} | tojson }}
{{ d | tojson(indent=2) }}{{ {'a': [], 'b': {}} | tojson(indent=4) }}{{ d | tojson(separators=(',', ':')) }}{{ u | tojson(ensure_ascii=True) }}{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}{{ d | tojson(indent='\t') }}
{{ undefinedname | tojson }}
{{ namespace() | tojson }}
{{ range(3) | list }}{{ range(1, 3) | list }}{{ range(5, 0, -2) | list }}{{ range(3) }}{{ range(3)[1] }}{{ range(3) | length }}{{ range(0) | list }}{% for i in range(2) %}{{ i }}{% endfor %}
{{ range(1000000) | list | length }}
{{ dict(a=1, b=2) }}{{ dict({'a': 1}, b=2) }}{{ dict([('a', 1)]) }}{{ dict.fromkeys(['a', 'b'], 0) }}{{ dict() }}
{{ raise_exception('no') }}
{{ raise_exception }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner('|') %}{{ j() }}{{ j() }}
{{ 1 is odd }}{{ 2 is even }}{{ 4 is divisibleby 2 }}{{ 4 is divisibleby(3) }}{{ 'a' is string }}{{ 1 is number }}{{ true is number }}{{ 1.5 is float }}{{ true is integer }}{{ 1 is integer }}{{ true is boolean }}{{ 1 is boolean }}
{{ d is mapping }}{{ l is sequence }}{{ s is sequence }}{{ d is sequence }}{{ 5 is sequence }}{{ l is iterable }}{{ 5 is iterable }}{{ s is iterable }}{{ range is callable }}{{ s is callable }}{{ undefinedname is iterable }}{{ undefinedname is sequence }}{{ (l | map('string')) is sequence }}
{{ none is none }}{{ t is true }}{{ 1 is true }}{{ f is false }}{{ 0 is false }}{{ 'a' is lower }}{{ 'A' is upper }}{{ 'a1' is lower }}{{ n is sameas none }}{{ 1 is sameas 1 }}{{ 1 is sameas true }}
{{ 1 is eq 1 }}{{ 1 is ne 2 }}{{ 1 is lt 2 }}{{ 1 is in [1, 2] }}{{ 'a' is not in 'abc' }}{{ 1 is not defined }}{{ zz is not defined }}{{ 'upper' is filter }}{{ 'nope' is filter }}{{ 'odd' is test }}
{{ 1 is nosuchtest }}
{{ 1 | nosuchfilter }}
{{ 'x' is defined and 1 }}{{ zz is defined or 2 }}{{ not zz is defined }}{{ zz is undefined and zz is not none }}
{{ s.nosuch is defined }}{{ s.nosuch() }}
{{ l.append(1) }}
{{ d.update({'a': 1}) }}
{{ d.pop('b') }}
{{ l.append is defined }}{{ d.items is defined }}{{ s.__class__ is defined }}{{ s._x is defined }}
{{ s.__class__.__mro__ }}
{{ l.index(2) }}{{ l.count(1) }}{{ (1, 2, 1).count(1) }}{{ l.copy() }}{{ d.copy() == d }}
{{ 5() }}
{{ undefinedname() }}
{{ none.x }}|{{ none['x'] is defined }}|{{ 5['x'] is defined }}
{{ l['a'] is defined }}{{ l[1.0] is defined }}{{ d[['a']] is defined }}
{{ undefinedname[0] }}
{{ none[1:] }}
{{ (1, 2) == [1, 2] }}{{ [1, [2]] == [1, [2]] }}{{ {'a': 1} == {'a': 1.0} }}{{ 'a' == 'a' }}{{ undefinedname == zz }}{{ undefinedname == '' }}
{{ {'a': 1}['a'] }}{{ {1: 'x'}[1] }}{{ {1: 'x'}[1.0] }}{{ {true: 'y'}[1] }}{{ {(1, 2): 'z'} | length }}
{{ [1, 2,] }}{{ (1,) }}{{ {'a': 1,} }}{{ () }}{{ [] }}{{ {} }}
{{ 1, 2 }}{{ 'a', }}
{{ l if l else 'no' }}{{ 'A' if 1 > 2 else 'B' if 2 > 1 else 'C' }}
{{ [i for i in l] }}
{{ lambda: 1 }}
{{ 'a' if }}
{{ }}
{{ a b }}
{{ 'unclosed }}
{{ 1 +}}
{% for i in l %}
{% for %}{% endfor %}
{% set 1 = 2 %}
{% set true = 2 %}
{{ (1 }}
{{ [1) }}
{{ 'a' | safe }}{{ '<a>' | e }}{{ '<a>' | escape }}{{ ('<' | safe) ~ '<' }}{{ '<' | safe is escaped }}{{ '<&>"\'' | e }}
{{ 'a b/é?' | urlencode }}{{ {'a b': 'c&d'} | urlencode }}
{{ '%s-%s' | format('a', 1) }}{{ '%(a)s' | format(a=2) }}
{{ d | attr('items') is defined }}{{ d | attr('b') is defined }}{{ s | attr('upper') is callable }}
{{ 5 | abs }}{{ -5.5 | abs }}
{{ 'a' | abs }}
{{ [[1, 2], [3]] | sum(start=[]) }}
{{ messages | map(attribute='role') | list | join(',') }}{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | first }}
{{ messages | selectattr('tool_calls', 'defined') | list | length }}{{ messages[2].tool_calls is none }}{{ messages | rejectattr('role', 'in', ['system', 'user']) | list | length }}
{{ (messages | selectattr('role', 'equalto', 'nobody')) and 'generator is true' }}{{ (l | map('string')) | list | length }}
{% if (l | select('gt', 100)) %}true{% else %}false{% endif %}
{% set g = l | map('string') %}{{ g | list }}{{ g | list }}
{{ not (1, 2) }}{{ (1, 2) | length }}{{ (1, 2)[0] }}{{ (1, 2) + (3,) }}
{{ 10 ** 20 }}
{{ 1 // 0 }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ '😀' | length }}{{ '😀'[0] }}{{ 'a😀b'[1:] }}{{ 'a😀b'.find('b') }}{{ '👍🏽' | length }}{{ '😀'.center(3, '*') }}{{ '😀a' < '￿a' }}
{{ 'İ'.lower() }}{{ 'ΑΣ'.lower() }}{{ 'ﬁ'.upper() }}{{ 'ǆ'.upper() }}
{{ "a" if "b" is defined }}{{ x is defined and x > 2 }}{{ x | int + 1 }}{{ -x | int }}{{ 2 * 3 + 4 ~ 5 }}{{ 2 + 3 ~ 4 * 2 }}{{ 1 ~ 2 == '12' }}
{{ not true == false }}{{ not 1 in [2] }}{{ 1 not in [2] and true }}{{ true and not false }}{{ 1 == 1 == 1 }}
{{ 'a' is string and 'b' is string }}{{ 1 is number and x is float }}{{ d.b is eq 1 }}{{ d.b is divisibleby d.b }}
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}{% for i in [1] %}{% if true %}{% set x = 3 %}{% endif %}{{ x }}{% endfor %}{{ x }}
{% for m in messages %}{% set content = m.content if m.content else 'empty' %}{{ content }},{% endfor %}{{ content is defined }}
{% for i in [1,2] %}{% if i == 2 %}{{ seen is defined }}{% endif %}{% set seen = i %}{% endfor %}
{% block b %}x{% endblock %}
{% include 'x' %}
{% extends 'x' %}
{% import 'x' as y %}
{{ loop is defined }}{% for i in [1] %}{% for j in [1] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}
{% set loop = 5 %}{{ loop }}
{{ super }}{{ self is defined }}{{ caller is defined }}{{ varargs is defined }}
{{ '' if messages[0].content is string else 'x' }}{{ messages[0].content is iterable and messages[0].content is not mapping }}
{{ (messages | last).role }}{{ (messages | first)['role'] }}{{ messages[-1]['tool_calls'] | default([], true) | length }}
{{ 'True' == true | string }}{{ none | string | length }}{{ [none] | join }}{{ [undefinedname] }}{{ [undefinedname] | join(',') }}
{{ "\\n" | length }}{{ '\\' }}{{ "a\
b" }}
""".strip("\n").replace("a\\\nb", "a\\\0b").split("\n")
SOURCES = [s.replace("\0", "\n") for s in SOURCES]
SOURCES += ["a\n", "a\n\n", "\na", "{% if t %}\n  a\n{% endif %}\nb\n", "  {% if t %}\n  a\n  {% endif %}\n  b", "{{ 1 }}\n{{ 2 }}\n", "{# c #}\na\n  {# c #}\nb", "  {{ 1 }}\n", "{% raw %}\n a\n{% endraw %}\nb",
            "a\r\nb\r{{ 'x\r\ny' }}", "{%- for i in l %}\n{{ i }}\n{%- endfor %}\nend", "x   {%- if t %}y{% endif -%}   z", "  {%+ if t %}a{% endif %}", "{% if t +%}\n a{% endif %}", "\t {% set a = 1 %}\t\n{{ a }}",
            "a {% if t %}\nb\n    {% endif %} c", "{{ '{{' }}{{ \"}}\" }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{% for i in l %}{{ i }}\n{% endfor %}", "{%- macro m() -%}\n x\n{%- endmacro -%}\n[{{ m() }}]", "{{ 'a'}} {#- x -#} \n b", "a \ufeff{%- if t %}b{% endif %}",
            "{# unclosed", "{% raw %} unclosed", "{{ 'multi\nline' }}", "{{\n1\n+\n2\n}}", "{%\nif t\n%}a{%\nendif\n%}", "{% if t %}a{%- endif %}\n\n b", "{{ 1 }}{{ 2 }}\n\n", "{%if t%}a{%endif%}", "{{1}}", "{{-1}}", "{{ -1 -}} x", "{% if -1 %}y{% endif %}"]


def main():
    out = []
    for source in SOURCES:
        try:
            out.append([source, _compile_jinja_template(source).render(**VARIABLES)])
        except Exception:
            out.append([source, None])
    json.dump({"variables": VARIABLES, "cases": out}, sys.stdout, ensure_ascii=False, indent=0)
    print()


main()
