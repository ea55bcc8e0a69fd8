"""Build the documentation site: ``make docs``, or ``python tools/development/make_site.py [--out DIR]``.

The pages of ``docs/`` link to code, recipes and READMEs beside them, so that the links work in a clone. Here each of
these files becomes a page of the site, below ``source/``. Sphinx then builds the site, and any warning is an error: a
link that leads nowhere, a page outside of the table of contents, a docstring that does not parse.
"""

import argparse
import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS, SOURCE = 'docs', 'source'
_LINK = re.compile(r'(?<!!)(\[(?:[^\[\]]|\[[^\]]*\])*\]\()([^)#:\s]+)((?:#[^)\s]*)?\))')
_FENCE = re.compile(r'^ *(```+|~~~+).*?^ *\1', re.MULTILINE | re.DOTALL)
_NO_REPORTS = ('README.md', 'measurements.md')  # pages of their own in the menu
_LANGUAGES = {'.py': 'python', '.sh': 'bash', '.yml': 'yaml', '.json': 'json', '.cfg': 'ini', '.jinja': 'html+jinja'}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Build the documentation site.')
    parser.add_argument('--out', type=Path, default=ROOT / 'build' / 'site', help='folder (default: build/site)')
    args = parser.parse_args(argv)
    staging = args.out.with_name(f'{args.out.name}-source')
    stage(staging)
    words = ['--fail-on-warning', '--keep-going', '--quiet', '--jobs', 'auto', str(staging), str(args.out)]
    status = subprocess.run([sys.executable, '-m', 'sphinx', *words]).returncode
    if status == 0:
        print(f'site: {args.out / "index.html"}')
    return status


def stage(folder: Path) -> None:
    """Write all pages of the site, as text for Sphinx, to a folder that is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / DOCS, folder, ignore=shutil.ignore_patterns('__pycache__'))
    waiting = [path.relative_to(ROOT).as_posix() for path in (ROOT / DOCS).rglob('*.md')]
    pages = set(waiting)
    while waiting:
        file = waiting.pop()
        text = _content(file)
        path = folder / page_of(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rewrite(text, file), encoding='utf-8')
        if file.endswith('.md'):
            new = set(_targets(file, text)) - pages
            pages |= new
            waiting += new
    listing = sorted(page_of(file) for file in pages if not file.startswith(f'{DOCS}/'))
    sources = _list_of_pages('Files of the repository', 'Files that the pages of this site link to.', SOURCE, listing)
    (folder / SOURCE / 'index.md').write_text(sources, encoding='utf-8')
    names = (path.name for path in (ROOT / DOCS / 'results').glob('*.md'))
    listing = sorted(f'results/{name}' for name in names if name not in _NO_REPORTS)
    reports = _list_of_pages('All reports', 'Reports as the commands have written them.', 'results', listing)
    (folder / 'results' / 'index.md').write_text(reports, encoding='utf-8')


def rewrite(text: str, file: str) -> str:
    """Return the text of a file with links between the pages of the site.

    Args:
        text: The text.
        file: The file, relative to the repository.
    """
    here = posixpath.dirname(page_of(file))

    def replace(match: re.Match) -> str:
        target = _target(file, match[2])
        return match[0] if target is None else f'{match[1]}{posixpath.relpath(page_of(target), here)}{match[3]}'

    return _outside_of_fences(text, lambda part: _LINK.sub(replace, part)) if file.endswith('.md') else text


def page_of(file: str) -> str:
    """Return the page of a file: itself within ``docs/``, or else one below ``source/``."""
    if file.startswith(f'{DOCS}/'):
        return file.removeprefix(f'{DOCS}/')
    return f'{SOURCE}/{file}' if file.endswith('.md') else f'{SOURCE}/{file}.md'


def _targets(file: str, text: str) -> Iterator[str]:
    """Yield the files outside of ``docs/`` that a text links to."""
    for match in _LINK.finditer(_FENCE.sub('', text)):
        target = _target(file, match[2])
        if target is not None and not target.startswith(f'{DOCS}/'):
            yield target


def _target(file: str, link: str) -> str | None:
    """Return the file or folder that a link leads to, relative to the repository; None if there is none."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(file), link))
    if target.startswith('..'):
        return None
    if (ROOT / target).is_dir():
        readme = posixpath.join(target, 'README.md')
        return readme if (ROOT / readme).is_file() else target
    return target if (ROOT / target).is_file() else None


def _content(file: str) -> str:
    """Return the page of a file or folder."""
    path = ROOT / file
    if path.is_dir():
        names = sorted(name for name in os.listdir(path) if not name.startswith(('.', '__pycache__')))
        return '\n'.join([f'# `{file}/`', '', *(f'- `{name}`' for name in names), ''])
    text = path.read_text(encoding='utf-8')
    if path.suffix == '.md':
        return text
    fence = '`' * max(4, 1 + max(map(len, re.findall('`+', text)), default=0))
    language = _LANGUAGES.get(path.suffix, 'text')
    return f'# `{file}`\n\n{fence}{{code-block}} {language}\n:linenos:\n\n{text}\n{fence}\n'


def _list_of_pages(title: str, text: str, folder: str, pages: list[str]) -> str:
    entries = '\n'.join(posixpath.relpath(page, folder) for page in pages)
    return f'# {title}\n\n{text}\n\n```{{toctree}}\n{entries}\n```\n'


def _outside_of_fences(text: str, change: Callable[[str], str]) -> str:
    """Apply a function to a text, except to its fenced code."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return ''.join([*parts, change(text[end:])])


if __name__ == '__main__':
    sys.exit(main())
