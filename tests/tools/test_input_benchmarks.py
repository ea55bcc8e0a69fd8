"""Small versions of the measurements of the input path."""

import json
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tool_runs import run

from lewel_plugins.transforms import LoadViews

BENCHMARKS = Path(__file__).parents[2] / 'tools' / 'measurements'
sys.path.append(str(BENCHMARKS))

import input_equivalence  # noqa: E402
import input_speed  # noqa: E402
import large_index  # noqa: E402
import packed_input  # noqa: E402
import threads_and_workers  # noqa: E402


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    pytest.importorskip('skimage')
    path = tmp_path_factory.mktemp('photographs')
    input_speed.write_photographs(path, 4, quality=90)
    return path


@pytest.mark.parametrize(('shift', 'is_found'), [(0.0, False), (0.2, True)])
def test_kolmogorov_smirnov(shift, is_found):
    a, b = np.random.default_rng(0).normal(size=(2, 2000))
    distance, p = input_equivalence.kolmogorov_smirnov(a, b + shift)
    assert (p < 1e-4) == is_found and (distance > 0.05) == is_found
    assert input_equivalence.kolmogorov_smirnov(a, a) == (0, 1)


def test_views_are_distributed_as_torchvisions(folder):
    """Compare fewer and smaller views than the measurement. A scheme of other strengths is detected."""
    paths = [str(path) for path in sorted(folder.glob('*.jpg'))]
    views = [dict(size=64, crop_scale=(0.08, 1.0), interpolation='bicubic', blur=0.5, solarize=0.2)]
    input_equivalence.seed(0)
    reference = input_equivalence.measure(input_equivalence.make_torchvisions(paths, views, 150))

    def differing(make, views):
        values = input_equivalence.measure(make(paths, views, 150))
        pairs = zip(input_equivalence.STATISTICS, reference, values)
        return input_equivalence.differs({n: input_equivalence.kolmogorov_smirnov(a, b) for n, a, b in pairs})

    assert reference.shape == (7, 600)
    assert differing(input_equivalence.make_ours, views) == []
    assert differing(input_equivalence.make_on_device, views) == []
    assert 'saturation' in differing(input_equivalence.make_ours, [dict(views[0], gray=0.5)])
    assert 'blur' in differing(input_equivalence.make_ours, [dict(views[0], blur=1.0)])


def test_speed_table(folder, tmp_path):
    command = [sys.executable, str(BENCHMARKS / 'input_speed.py'), '--images', '2', '--repeats', '1']
    done = run(*command, '--schemes', 'MSBReg, 4 views', '--out', 'speed.json', cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    text = (tmp_path / 'speed.md').read_text()
    assert '| MSBReg, 4 views | ' in text and '| floor | ' in text and 'commit' in text


def test_rate_of_a_data_loader(folder):
    assert 0 < input_speed.rate_with_workers(input_speed.Floor(folder, 'MSBReg, 4 views'), workers=1, views=4) < 1e6


def test_files_and_shards(tmp_path, monkeypatch):
    words = f'packed_input.py --disk {tmp_path} --images 30 --kilobytes 2 --shard-size 20K --readers 2 --repeats 1'
    monkeypatch.setattr(sys, 'argv', [*words.split(), '--drop', 'files', '--out', str(tmp_path / 'packed.json')])
    packed_input.main()
    content = json.loads((tmp_path / 'packed.json').read_text())
    (row,) = content['rows']
    assert row['ratio'] == pytest.approx(row['shards'] / row['files']) and content['images'].endswith(', 5 shards')
    assert '| 2 | ' in (tmp_path / 'packed.md').read_text()
    assert not list(tmp_path.glob('packed_input-*'))


def test_every_index_looks_up_the_same_paths(tmp_path):
    (tmp_path / 'list.txt').write_text(''.join(f'{large_index.name(i)}\n' for i in range(3000)))
    rows = [large_index.measure_index(kind, str(tmp_path / 'list.txt'), [2]) for kind in ('ours', 'mmengine', 'dicts')]
    parts = [part for row in rows for part in row['workers']]
    expected = 3000 * len(f'{tmp_path}/{large_index.name(0)}')
    assert {part['characters'] for part in parts} == {expected}
    assert all(row['seconds'] > 0 and row['names'] == 3000 for row in rows)
    assert all(0 < part['before'] < part['whole'] and part['first'] < part['seconds'] for part in parts)
    tree = large_index.measure_tree(tmp_path / 'tree', 40, 4)
    assert '| mmengine | 3,000 | ' in (text := large_index.markdown(rows, tree, {})) and '40 empty files in 4 ' in text


def test_threads_load_the_batches_of_workers_and_the_growth_is_fitted():
    dataset = [dict(inputs=[torch.tensor([i])]) for i in range(7)]
    loaders = [
        threads_and_workers.make_loader(kind, 2, threads_and_workers.Endless(dataset))
        for kind in threads_and_workers.KINDS
    ]
    threads, workers = ([batch['inputs'][0].flatten().tolist() for batch in islice(each, 5)] for each in loaders)
    assert threads == workers and sum(threads, []) == [i % 7 for i in range(5 * threads_and_workers.BATCH)]
    rows = [dict(kind='threads', count=n, memory=5 + 3 * n, first=0.1 * n, locked=0.25) for n in (1, 2, 4)]
    first, bound = threads_and_workers.growth(rows)
    assert first == '- each of the threads adds 3 MB, and 100 ms to the first batch' and 'at most 4.0 times' in bound


def test_the_lock_is_held_outside_the_decoder_and_the_kernels(folder):
    views, counts = input_speed.schemes('BYOL')
    load, path = LoadViews(views, num_views=counts), str(next(folder.glob('*.jpg')))

    class Files(torch.utils.data.Dataset):
        def __getitem__(self, index: int) -> dict:
            return dict(inputs=[torch.from_numpy(view.copy()) for view in load(dict(img_path=path))['img']])

    Files()[0]  # loads the kernels
    decode, kernels = threads_and_workers.cv2.imdecode, threads_and_workers.image_ops.kernels
    assert 0.02 < threads_and_workers.locked_share(Files(), 1) < 0.9
    assert threads_and_workers.cv2.imdecode is decode and threads_and_workers.image_ops.kernels is kernels
