"""Check the English of docstrings, comments, strings and markdown, and the spelling of names.

``python tools/development/check_prose.py [PATH ...]`` prints one line per hit and exits with 1 if there are any;
``--count`` prints how many hits each rule has per folder. The rules are in ``prose_rules.py``. Where a rule is wrong,
``# prose: ok`` (in markdown ``<!-- prose: ok -->``) on the line, or on the last line of the string, silences it.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prose_rules import RULES, Rule
from prose_texts import Text, texts_of

DEFAULT = ('README.md', 'Makefile', 'setup.py', 'docs', 'lewel_plugins', 'tools', 'tests', 'configs')
SUFFIXES = ('.py', '.md', '.sh', '.yml')
# Results are records of past runs; the rules and their test contain examples of what is wrong.
SKIPPED = re.compile(r'(^|/)(\.|__pycache__)|(^|/)docs/results/(?!README)|(^|/)(prose_rules|test_check_prose)\.py$')
ESCAPE = 'prose: ok'


class Hit(NamedTuple):
    """A place that breaks a rule."""

    path: Path
    line: int
    rule: Rule
    excerpt: str


def main() -> int:
    parser = argparse.ArgumentParser(description='Check English and spelling of the sources.')
    parser.add_argument('paths', nargs='*', type=Path, help='files or folders (default: the whole tree)')
    parser.add_argument('--count', action='store_true', help='print the number of hits per folder and rule')
    parser.add_argument('--rules', action='store_true', help='print the rules with an example of each')
    args = parser.parse_args()
    if args.rules:
        print('\n'.join(f'{rule.id}: {rule.remedy} (not: {rule.bad[0]!r})' for rule in RULES))
        return 0
    paths = args.paths or [path for path in map(Path, DEFAULT) if path.exists()]
    hits = [hit for path in files(paths) for hit in check(path)]
    if args.count:
        print(table(hits))
    else:
        for hit in hits:
            print(f'{hit.path}:{hit.line}: {hit.rule.id}: {hit.excerpt}')
        for rule in dict.fromkeys(hit.rule for hit in hits):
            print(f'{rule.id}: {rule.remedy}', file=sys.stderr)
    return 1 if hits else 0


def files(paths: list[Path]) -> Iterator[Path]:
    """Yield the files to check, in order."""
    for path in paths:
        inside = sorted(path.rglob('*')) if path.is_dir() else [path]
        yield from (
            p
            for p in inside
            if (p == path or p.suffix in SUFFIXES) and p.is_file() and not SKIPPED.search(p.as_posix())
        )


def check(path: Path) -> list[Hit]:
    """Return the hits of a file, in the order of its lines."""
    lines = path.read_text(encoding='utf-8').splitlines()
    hits = [
        Hit(path, line, rule, words)
        for text in texts_of(path)
        for rule, line, words in breaches(text)
        if not any(ESCAPE in lines[number - 1] for number in (line, text.last_line or line))
    ]
    return sorted(hits, key=lambda hit: (hit.line, hit.rule.id, hit.excerpt))


def breaches(text: Text) -> Iterator[tuple[Rule, int, str]]:
    """Yield rule, line and excerpt of each place in a text that breaks a rule."""
    for rule in RULES:
        if text.kind in rule.kinds:
            for start, end in rule.matches(text.content):
                yield rule, text.line_of(start, end), excerpt(text.content, start, end)


def excerpt(content: str, start: int, end: int) -> str:
    """Return a match with the words around it."""
    first = content.rfind(' ', 0, max(0, start - 25)) + 1
    last = content.find(' ', end + 15)
    before, after = content[first:start].split('¶')[-1], content[end : last if last > 0 else None].split('¶')[0]
    return ' '.join(f'{before}{content[start:end]}{after}'.replace('¶', ' ').split())


def table(hits: list[Hit]) -> str:
    """Return the number of hits per folder (rows) and rule (columns)."""
    counts = Counter((folder(hit.path), hit.rule.id) for hit in hits)
    columns = [rule.id for rule in RULES]
    rows = [(name, [counts[name, rule] for rule in columns]) for name in sorted({name for name, _ in counts})]
    rows.append(('all', [sum(values) for values in zip(*(values for _, values in rows))] or [0] * len(columns)))
    width = max(len(name) for name, _ in rows)
    lines = [f'{"":{width}}  ' + '  '.join([*columns, 'all'])]
    for name, values in rows:
        cells = (f'{value:>{len(column)}}' for value, column in zip([*values, sum(values)], [*columns, 'all']))
        lines.append(f'{name:{width}}  ' + '  '.join(cells))
    return '\n'.join(lines)


def folder(path: Path) -> str:
    """Return the first two parts of a file's folder."""
    return '/'.join(path.parent.parts[:2]) or '.'


if __name__ == '__main__':
    sys.exit(main())
