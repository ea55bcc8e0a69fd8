"""The checker of English in ``make lint``: each rule on its examples, and the texts and lines of a file."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools' / 'development'))
import check_prose
from prose_rules import RULES
from prose_texts import marked

PYTHON = '''"""One loss a
projector."""

colour, found = 1, 2  # of the legend
# A value that the config
# says.
scale = library.centre(colour=found)


def normalise(grey):
    raise ValueError(
        f'The rates {scale} are the recipe'
        "'s, once a step"
    )


code = 'grey ``colour``'
'''
MARKDOWN = """# A grey title

Code is left alone: `colour`, and

    once a step

```
once a step
```

- Measured once
  an epoch.
- Marked twice a step. <!-- prose: ok -->
"""


def found_in(folder: Path, name: str, source: str) -> list[tuple[int, str]]:
    (folder / name).write_text(source, encoding='utf-8')
    return [(hit.line, hit.rule.id) for hit in check_prose.check(folder / name)]


@pytest.mark.parametrize('rule', RULES, ids=lambda rule: rule.id)
def test_every_rule_meets_its_bad_examples_and_passes_its_good_ones(rule):
    assert len(rule.bad) >= 2 and len(rule.good) >= 2
    assert [text for text in rule.bad if not list(rule.matches(marked(text)))] == []
    assert [text for text in rule.good if list(rule.matches(marked(text)))] == []


def test_good_examples_of_a_rule_break_no_other():
    others = [
        (text, rule.id, other.id)
        for rule in RULES
        for text in rule.good
        for other in RULES
        if other.kinds & rule.kinds and list(other.matches(marked(text)))
    ]
    assert others == []


def test_texts_of_python_with_their_lines(tmp_path):
    assert found_in(tmp_path, 'a.py', PYTHON) == [
        (1, 'per-unit'),
        (4, 'american'),
        (4, 'participle-name'),
        (4, 'riddle-comment'),
        (6, 'say'),
        (10, 'american'),  # the function's name, and its argument's
        (10, 'american'),
        (12, 'possessive'),  # the string begins there
        (13, 'per-unit'),
        (17, 'american'),
    ]


def test_texts_of_markdown_without_code(tmp_path):
    assert found_in(tmp_path, 'a.md', MARKDOWN) == [(1, 'american'), (11, 'per-unit')]


def test_comments_of_other_files_and_names_of_files(tmp_path):
    assert found_in(tmp_path, 'a.yml', 'once: a step\nx: 1  # once a step\n') == [(2, 'per-unit')]
    assert found_in(tmp_path, 'grey.sh', '#!/bin/sh\n# the script tells it\n') == [(1, 'american'), (2, 'tell')]


def test_escape_on_the_line_or_at_the_end_of_the_string(tmp_path):
    assert found_in(tmp_path, 'a.py', 'grey = 1  # prose: ok\ngrey = 2\n') == [(2, 'american')]
    assert found_in(tmp_path, 'b.py', '"""Grey.\n\nThe end.\n"""  # prose: ok\n') == []


def test_command_prints_places_and_fails_only_with_hits(tmp_path, monkeypatch, capsys):
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'docs' / 'a.md').write_text("First.\n\nThe rates are the recipe's.\n")
    (tmp_path / 'README.md').write_text('Nothing wrong.\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['check_prose.py'])
    assert check_prose.main() == 1
    assert capsys.readouterr().out == "docs/a.md:3: possessive: The rates are the recipe's.\n"
    monkeypatch.setattr(sys, 'argv', ['check_prose.py', 'README.md'])
    assert check_prose.main() == 0 and capsys.readouterr().out == ''


def test_count_per_folder_and_rule(tmp_path, monkeypatch, capsys):
    for folder, text in (('docs', 'once a step, twice a step'), ('tools/analysis', 'grey')):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / 'a.md').write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['check_prose.py', '--count'])
    assert check_prose.main() == 1
    header, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    counts = {row[0]: dict(zip(header, map(int, row[1:]))) for row in rows}
    assert list(counts) == ['docs', 'tools/analysis', 'all']
    assert counts['docs']['per-unit'] == 2 and counts['docs']['all'] == 2
    assert counts['tools/analysis']['american'] == 1 and counts['all']['all'] == 3
