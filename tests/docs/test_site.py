"""Pages of the site: links, code pages, docstrings. ``make docs`` builds them; this needs no Sphinx."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md')])
LINK = re.compile(r'(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)')
FENCE = re.compile(r'^ *(```+|~~~+).*?^ *\1', re.MULTILINE | re.DOTALL)
PACKAGES = [
    'lewel_plugins', 'lewel_plugins.datasets', 'lewel_plugins.evaluation', 'lewel_plugins.functional',
    'lewel_plugins.hooks', 'lewel_plugins.models', 'lewel_plugins.optim', 'lewel_plugins.transforms',
]  # fmt: skip


@pytest.fixture(scope='module')
def site():
    spec = importlib.util.spec_from_file_location('make_site', ROOT / 'tools' / 'development' / 'make_site.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub and MyST make them."""
    titles = re.findall(r'^#+ +(.+?) *$', FENCE.sub('', text), re.MULTILINE)
    words = [re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', title).lower() for title in titles]
    slugs = [re.sub(r'[^\w\- ]', '', title).replace(' ', '-') for title in words]
    return {*slugs, *(f'{slug}-{i}' for slug in slugs for i in range(1, slugs.count(slug)))}


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    text = FENCE.sub('', (ROOT / page).read_text())
    for match in LINK.finditer(text):
        link = match[1] or match[2]
        if re.match(r'[a-z]+:', link):
            continue
        name, _, anchor = link.partition('#')
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), f'{page}: {link}'
        if anchor and target.suffix == '.md':
            assert anchor in anchors(target.read_text()), f'{page}: {link}'


def test_links_to_code_lead_to_its_page(site):
    text = '[a](../lewel_plugins/errors.py#L3) ![p](images/x.svg) [b](equations.md#lewel) [c](nothing.py)\n'
    assert site.rewrite(text, 'docs/lewel.md') == (
        '[a](source/lewel_plugins/errors.py.md#L3) ![p](images/x.svg) [b](equations.md#lewel) [c](nothing.py)\n'
    )
    # From a page that is itself outside of docs/.
    assert site.rewrite('[a](../../docs/equations.md) [b](x.py)', 'configs/lewel/README.md') == (
        '[a](../../../equations.md) [b](x.py)'
    )
    fenced = '```\n[a](../lewel_plugins/errors.py)\n```\n'
    assert site.rewrite(fenced, 'docs/lewel.md') == fenced


def test_a_file_with_fences_is_one_block(site, tmp_path, monkeypatch):
    (tmp_path / 'x.py').write_text('"""Example::\n\n`````\ncode\n`````\n"""\n')
    monkeypatch.setattr(site, 'ROOT', tmp_path)
    content = site._content('x.py')
    assert content.startswith('# `x.py`\n\n``````{code-block} python\n') and content.endswith('\n``````\n')


def test_a_linked_file_has_a_page_and_so_have_those_it_links_to(site, tmp_path, monkeypatch):
    files = {
        'docs/index.md': '[a](../configs/README.md)',
        'docs/results/README.md': '',
        'docs/results/one.md': '# One',
        'configs/README.md': '[b](sub) [c](../docs/index.md)',
        'configs/sub/x.py': 'x = 1\n',
        'configs/y.py': 'y = 1\n',
    }
    for name, text in files.items():
        (tmp_path / 'clone' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'clone' / name).write_text(text)
    monkeypatch.setattr(site, 'ROOT', tmp_path / 'clone')
    pages = tmp_path / 'pages'
    site.stage(pages)
    assert (pages / 'index.md').read_text() == '[a](source/configs/README.md)'
    assert (pages / 'source/configs/README.md').read_text() == '[b](sub.md) [c](../../index.md)'
    assert (pages / 'source/configs/sub.md').read_text() == '# `configs/sub/`\n\n- `x.py`\n'
    assert (pages / 'source/index.md').read_text().endswith('{toctree}\nconfigs/README.md\nconfigs/sub.md\n```\n')
    assert (pages / 'results/index.md').read_text().endswith('{toctree}\none.md\n```\n')


@pytest.mark.parametrize('package', PACKAGES)
def test_public_names_have_docstrings(package):
    module = importlib.import_module(package)
    missing = []
    for name in module.__all__:
        value = getattr(module, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        own = [(name, value)]
        if inspect.isclass(value):
            own += [
                (f'{name}.{key}', member)
                for key, member in vars(value).items()
                if not key.startswith('_') and (inspect.isfunction(member) or isinstance(member, property))
            ]
        missing += [label for label, member in own if not inspect.getdoc(member)]
    assert not missing
