"""Pairs of trainings that RankMe orders as their accuracy, and the texts that have the recorded counts."""

import json
import sys

from helpers.tool_runs import ROOT, run

from lewel_plugins.reporting.page import LIMITS

RANK, SPREAD, ACCURACY = 'representation/rank_me', 'representation/std', 'knn/top1_k20'
RECORDED = ROOT / 'docs' / 'results' / 'rank_pairs.json'


def row(name: str, *ends: tuple[float, float], **spread: float) -> dict:
    """Return a row whose seeds end at a RankMe and an accuracy, after starting at 10 and 50."""
    values = {str(seed): {RANK: rank, ACCURACY: accuracy} for seed, (rank, accuracy) in enumerate(ends)}
    for seed, value in spread.items():
        values[seed[1:]][SPREAD] = value
    curves = {
        seed: {
            RANK: dict(iteration=[1, 2], value=[10, end[RANK]]),
            ACCURACY: dict(iteration=[1, 2], value=[50, end[ACCURACY]]),
        }
        for seed, end in values.items()
    }
    return dict(name=name, values=values, curves=curves)


def test_pairs_are_counted_once(tmp_path):
    shared = row('a', (11, 51), (12, 52), (13, 51))  # one pair is ordered, one is not, one has equal accuracies
    contents = dict(
        one_cifar10=[shared],
        one_garment=[shared, row('b', (9, 60), (8, 61), s0=0.2, s1=0.1)],
        two_garment=[shared, dict(name='pixels', values={'0': {ACCURACY: 33.0}}, curves={})],
    )
    for name, rows in contents.items():
        path = tmp_path / f'{name.replace("_garment", "_garment-scenes")}.json'
        path.write_text(json.dumps(dict(rows=rows)))
    (tmp_path / 'worth_garment-scenes.json').write_text(json.dumps(dict(rows=[dict(name='no comparison')])))
    script, out = ROOT / 'tools' / 'measurements' / 'rank_pairs.py', tmp_path / 'out' / 'pairs.json'
    out.parent.mkdir()
    done = run(sys.executable, str(script), '--results', str(tmp_path), '--out', str(out), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    counts = [[row[name]['ordered'] for name in ('rank_me', 'spread')] for row in json.loads(out.read_text())['rows']]
    pairs = [[row[name]['pairs'] for name in ('rank_me', 'spread')] for row in json.loads(out.read_text())['rows']]
    assert pairs == [[3, 1], [2, 0], [5, 0], [0, 0]]
    assert counts == [[1, 0], [0, 0], [3, 0], [0, 0]]
    assert '| garment-scenes | two seeds of a row | 1 of 3 (33%) | 0 of 1 (0%) |' in out.with_suffix('.md').read_text()


def test_the_texts_have_the_recorded_counts():
    rows = {(row['data'], row['pairs']): row for row in json.loads(RECORDED.read_text())['rows']}
    seeds, methods, course, cifar10 = rows.values()

    def share(counts: dict) -> str:
        return f'{counts["ordered"] / counts["pairs"]:.0%}'

    def full(counts: dict, noun: str) -> str:
        return f'{counts["ordered"]} of {counts["pairs"]}{noun} ({share(counts)})'

    (page,) = (text for text in LIMITS if '20-NN' in text)
    assert full(course['rank_me'], ' trainings') in page
    assert full(seeds['rank_me'], ' pairs') in page and full(seeds['spread'], '') in page
    guide = ' '.join((ROOT / 'docs' / 'monitors.md').read_text(encoding='utf-8').split())
    assert f'20-NN accuracy in {share(seeds["rank_me"])} of the pairs' in guide
    assert f'it is {share(methods["rank_me"])} (garment scenes) and {share(cifar10["rank_me"])} (CIFAR-10)' in guide
    assert f'{share(seeds["spread"])} and {share(methods["spread"])} ([rank_pairs]' in guide
