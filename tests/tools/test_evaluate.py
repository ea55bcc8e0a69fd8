"""Evaluation of a checkpoint on a few garment scenes, by the recipes of the repository."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from helpers.tool_runs import ROOT, run

from lewel_plugins.datasets.garment_scenes import SceneConfig, make_scenes
from lewel_plugins.evaluation.suite import Suite
from lewel_plugins.evaluation.suite_report import suite_markdown
from lewel_plugins.running import provenance
from lewel_plugins.running.setup import load_config
from lewel_plugins.running.work_dir_lock import lock_work_dir

pytest.importorskip('sklearn')
LINEAR = ROOT / 'configs/benchmarks/linear/lewel-b-linear_1xb256-steplr-50e_garment-scenes.py'
SEMI = ROOT / 'configs/benchmarks/semi/lewel-semi-10pct_1xb64-steplr-50e_garment-scenes.py'
SVM = ROOT / 'configs/benchmarks/svm/msbreg-svm_garment-scenes-multi.py'
METHOD = ROOT / 'configs/lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py'
EVALUATE, CLASSIFY, VOC_SVM, SPEED = (
    str(ROOT / 'tools' / name)
    for name in ('evaluate.py', 'benchmarks/classification.py', 'benchmarks/voc_svm.py', 'measurements/linear_speed.py')
)


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Make scenes and a suite, and return the output of an evaluation at random initialization."""
    root = tmp_path_factory.mktemp('evaluate')
    garments = ROOT / 'data' / 'fashion_mnist'
    make_scenes(SceneConfig(num_train=120, num_val=60), garments, root / 'single', 1)
    multi = SceneConfig(kind='multi', size=48, num_train=60, num_val=40, scale=(0.3, 0.6))
    make_scenes(multi, garments, root / 'multi', 1)
    numbers = '[("ap", 42.0), ("coco/bbox_mAP", 0.2114), ("coco/bbox_mAP_l", -1.0)]'
    writes = f'import json, sys; json.dump(dict({numbers}, seed=int(sys.argv[1])), open(sys.argv[2], "w"))'
    (root / 'base.py').write_text('a = 1\n')
    (root / 'child.py').write_text("_base_ = './base.py'\n")
    draws = (
        'import json, os, sys; os.makedirs(sys.argv[1] + "/a task"); json.dump(dict(options=len(sys.argv[4:])), '
        'open(sys.argv[2], "w")); open(sys.argv[1] + "/a task/predictions.png", "wb").close(); print(sys.argv[4:])'
    )
    commands = [
        dict(name='works', command=f"{{python}} -c '{writes}' {{seed}} {{json}}"),
        dict(name='draws', command=f"{{python}} -c '{draws}' {{out}} {{json}} {{configs}}/child.py"),
        dict(name='fails', command='{python} -c \'import sys; sys.exit("no such data")\' {checkpoint}'),
    ]
    entries = dict(linear=str(LINEAR), lrs=(0.4, 0.04), knn=dict(k=(1, 5, 500), temperature=0.07), commands=commands)
    (root / 'suite.py').write_text(''.join(f'{name} = {value!r}\n' for name, value in entries.items()))
    return root


def options(folder: Path) -> list[str]:
    loaders = [
        f'{name}_dataloader.{what}=' for name in ('train', 'val') for what in ('num_workers', 'persistent_workers')
    ]
    values = ['0', 'False'] * 2
    data = [
        f'{name}.data_root={folder / "single"}'
        for name in ('train_dataloader.dataset.dataset', 'val_dataloader.dataset')
    ]
    return ['--cfg-options', *data, *(a + b for a, b in zip(loaders, values)), 'train_cfg.max_epochs=2']


def evaluate(folder: Path, *more: str):
    words = [str(folder / 'suite.py'), str(METHOD), '--out', str(folder / 'out'), '--seed', '1', *more]
    return run(sys.executable, EVALUATE, *words, *options(folder), cwd=ROOT)


def test_table_pictures_and_a_second_run_that_goes_on(folder):
    first = evaluate(folder)
    assert first.returncode == 1, first.stdout[-3000:]
    assert 'error: fails failed; run it again to go on' in first.stdout and 'no such data' in first.stdout
    out = folder / 'out'
    for name in ('confusion', 'neighbors', 'embeddings'):
        assert (out / f'{name}.png').read_bytes().startswith(b'\x89PNG')
    record = json.loads((out / 'evaluation.json').read_text())
    metrics = record['evaluation']
    assert set(metrics) == {'knn', 'linear', 'pictures', 'works', 'draws'} and set(record['failed']) == {'fails'}
    assert set(metrics['knn']) == {'top1_k1', 'top1_k5'}  # there are fewer than 500
    assert metrics['works'] == {'seed': 1, 'ap': 42.0, 'coco/bbox_mAP': 0.2114, 'coco/bbox_mAP_l': -1.0}
    assert metrics['linear']['top1'] == metrics['linear']['top1_by_rate']['0.4']
    assert 0 < metrics['linear']['top1'] <= 100 and 10 < metrics['knn']['top1_k1'] <= 100
    text = (out / 'evaluation.md').read_text()
    assert f'| linear | top1 | {metrics["linear"]["top1"]:.2f} |' in text
    assert '| coco/bbox_mAP | 0.211 |' in text and '| coco/bbox_mAP_l | – |' in text
    (picture,) = out.glob('*/*/predictions.png')
    assert f'![predictions](<{picture.parts[-3]}/a task/predictions.png>)' in text
    assert '![confusion](<confusion.png>)' in text

    weights = torch.load(out / 'random_seed1.pth', weights_only=False)['state_dict']
    assert all(name.startswith('backbone.') for name in weights)
    again = evaluate(folder, '--protocols', 'knn', 'works', 'linear', '--json', str(folder / 'copy.json'))
    assert again.returncode == 0, again.stdout[-3000:]
    assert again.stdout.count('done before') == 3
    assert json.loads((folder / 'copy.json').read_text())['evaluation']['knn'] == metrics['knn']

    # A config that a command inherits from has changed, or its options have.
    def redrawn(*options: str) -> dict:
        done = evaluate(folder, '--protocols', 'draws', '--cfg-options', *options)
        assert done.returncode == 0 and 'draws ...' in done.stdout, done.stdout[-3000:]
        again = evaluate(folder, '--protocols', 'draws', '--cfg-options', *options)
        assert again.returncode == 0 and 'draws: done before' in again.stdout
        return json.loads((out / 'evaluation.json').read_text())

    (folder / 'base.py').write_text('a = 2\n')
    assert redrawn('train_cfg.max_epochs=2')['evaluation']['draws'] == dict(options=0)
    assert redrawn('draws.x.y=[1,2]', 'draws.z=a b')['evaluation']['draws'] == dict(options=3)
    assert (out / 'draws.log').read_text() == "['--cfg-options', 'x.y=[1,2]', 'z=a b']\n"
    assert 'draws.x.y=[1,2]' in (out / 'evaluation.md').read_text()
    assert len(list(out.glob('*/*/predictions.png'))) == 3
    assert (out / 'evaluation.md').read_text().count('predictions.png') == 1

    unknown = evaluate(folder, '--protocols', 'detection')
    assert unknown.returncode == 1
    assert 'error: unknown protocols detection; ' in unknown.stdout and 'knn, linear, pictures, works' in unknown.stdout


def test_a_report_names_the_commit_of_each_measurement(folder, tmp_path, monkeypatch):
    checkpoint = tmp_path / 'any.pth'
    checkpoint.write_bytes(b'the commands do not read it')

    def report(commit: str, *protocols: str) -> str:
        monkeypatch.setattr(provenance, 'commit', lambda: commit)
        monkeypatch.setattr(provenance, 'machine', lambda: f'machine of {commit}')
        monkeypatch.setattr(provenance, 'now', lambda: f'date of {commit}')
        suite = Suite(load_config(str(folder / 'suite.py')), checkpoint, 0, tmp_path, ROOT / 'tools', {})
        results = suite.run(protocols)
        record = dict(checkpoint='any.pth', seed=0, options={}, failed={})
        return suite_markdown(dict(record, evaluation=results.metrics, origins=results.origins), [])

    old = 'old; machine of old; date of old'
    assert f'\nSeed 0; {old}.\n' in report('old', 'works')
    assert f'\nSeed 0; {old}.\n' in report('new', 'works')  # done before
    both = report('new', 'works', 'draws')
    assert f'\nSeed 0.\n\n- works: {old}\n- draws: new; machine of new; date of new\n' in both

    # A note of an earlier version counts, although it has no commit.
    note = json.loads((tmp_path / 'works.done.json').read_text())
    del note['result']['origin']
    (tmp_path / 'works.done.json').write_text(json.dumps(note))
    assert '\nSeed 0; by a version that recorded no commit.\n' in report('new', 'works')
    assert '\n- works: by a version that recorded no commit\n- draws: new; ' in report('newer', 'works', 'draws')


def test_linear_and_semi_supervised_training(folder):
    checkpoint = str(folder / 'random.pth')
    result = run(
        sys.executable, '-c', 'from lewel_plugins.evaluation.random_checkpoint import write_random_checkpoint as r; '
        f'from pathlib import Path; r({str(METHOD)!r}, 0, Path({str(folder)!r})).rename({checkpoint!r})', cwd=ROOT,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-2000:]
    split = folder / 'splits' / 'tenth_seed0.txt'
    semi = [f'train_dataloader.dataset.dataset.{name}' for name in ('dataset.data_root', 'split_file')]
    words = options(folder)
    words[1:2] = [f'{semi[0]}={folder / "single"}', f'{semi[1]}={split}']
    results = []
    for _ in range(2):  # the second command finds a finished run, and its metrics
        arguments = [str(SEMI), checkpoint, '--work-dir', str(folder / 'semi'), '--json', str(folder / 'semi.json')]
        done = run(sys.executable, CLASSIFY, *arguments, '--seed', '2', *words, cwd=ROOT)
        assert done.returncode == 0, done.stdout[-3000:]
        results.append(json.loads((folder / 'semi.json').read_text()))
    assert results[0]['top1'] == results[1]['top1'] and results[0]['seed'] == 2
    lines = (split.with_name('tenth_seed2.txt')).read_text().splitlines()
    assert lines[0] == '# fraction 0.1, seed 2, of 120 images' and 10 <= len(lines) - 1 <= 16

    # With another checkpoint or another seed, that run is neither continued nor reused.
    other = torch.load(checkpoint, weights_only=True)
    other['state_dict'] = {name: tensor + 0.01 for name, tensor in other['state_dict'].items()}
    torch.save(other, folder / 'other.pth')
    for path, seed, message in (
        (str(folder / 'other.pth'), '2', f'holds a run from checkpoint {checkpoint} (sha256 '),
        (checkpoint, '1', 'holds a run from seed 2, not 1: give another --work-dir'),
    ):
        arguments = [str(SEMI), path, '--work-dir', str(folder / 'semi'), '--seed', seed]
        done = run(sys.executable, CLASSIFY, *arguments, *words, cwd=ROOT)
        assert done.returncode == 1 and f'error: {folder / "semi"} {message}' in done.stdout, done.stdout[-3000:]

    # While another process trains there, nothing starts.
    descriptor = lock_work_dir(str(folder / 'semi'))
    arguments = [str(SEMI), checkpoint, '--work-dir', str(folder / 'semi'), '--seed', '2']
    done = run(sys.executable, CLASSIFY, *arguments, *words, cwd=ROOT)
    os.close(descriptor)
    message = f'error: {folder / "semi"} is being trained by process {os.getpid()}; choose another --work-dir'
    assert done.returncode == 1 and message in done.stdout, done.stdout[-3000:]

    # A user's list is the same for every seed. The batch is half of that for which the learning rate was set.
    listed_split = folder / 'listed.txt'
    listed_split.write_text('\n'.join(lines[1:]) + '\n')
    words[2] = f'{semi[1]}={listed_split}'
    arguments = [str(SEMI), checkpoint, '--work-dir', str(folder / 'given'), '--seed', '1']
    done = run(sys.executable, CLASSIFY, *arguments, *words, 'train_dataloader.batch_size=32', cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert 'a step has 1 × 32 = 32 images, but the learning rate was set for 64' in done.stdout
    assert list(folder.glob('listed*.txt')) == [listed_split]
    words += ['train_dataloader.batch_size=32']
    done = run(sys.executable, CLASSIFY, *arguments, '--auto-scale-lr', *words, cwd=ROOT)
    assert done.returncode == 1 and 'holds a run from another config (' in done.stdout and 'enable=True' in done.stdout
    arguments[3] = str(folder / 'scaled')
    done = run(sys.executable, CLASSIFY, *arguments, '--auto-scale-lr', *words, cwd=ROOT)
    assert done.returncode == 0 and 'a step has' not in done.stdout, done.stdout[-3000:]
    assert 'LR is set based on batch size of 64 and the current batch size is 32' in done.stdout

    listed_split.write_text('nothing/here.jpg\n')
    arguments[3] = str(folder / 'bad')
    done = run(sys.executable, CLASSIFY, *arguments, *words, cwd=ROOT)
    assert done.returncode == 1 and 'error: 1 of 1 entries of' in done.stdout, done.stdout[-3000:]

    fast = run(
        sys.executable, CLASSIFY, str(LINEAR), checkpoint, '--fast', '--lrs', '0.04', '0.4',
        '--json', str(folder / 'fast.json'), *options(folder), cwd=ROOT,
    )  # fmt: skip
    assert fast.returncode == 0, fast.stdout[-3000:]
    results = json.loads((folder / 'fast.json').read_text())
    assert 'training images as in validation' not in fast.stdout  # this recipe has no augmentation
    assert results['checkpoint'] == checkpoint and len(results['checkpoint_sha256']) == 64 and results['commit']
    assert list(results['by_rate']) == ['0.04', '0.4'] and results['top1'] == results['by_rate']['0.04']['top1']

    # The loader has the batch of one process.
    speed = run(
        sys.executable, SPEED, str(LINEAR), checkpoint, '--epochs', '1', '--json', str(folder / 'speed.json'),
        *options(folder), 'train_dataloader.batch_size=16', cwd=ROOT,
    )  # fmt: skip
    assert speed.returncode == 0, speed.stdout[-3000:]
    results = json.loads((folder / 'speed.json').read_text())
    assert (
        results['checkpoint'] == checkpoint and results['seed'] == 0 and results['commit'] and results['speed_up'] > 0
    )
    (row,) = results['rates']
    assert row['lr'] == 0.4 and row['top1_fast'] == pytest.approx(row['top1_slow']) and row['difference'] < 1e-4

    svm = run(
        sys.executable, VOC_SVM, str(SVM), checkpoint, '--json', str(folder / 'svm.json'), '--seed', '5',
        '--cfg-options',
        *(f'{name}_dataloader.{what}' for name in ('train', 'test')
          for what in (f'dataset.data_root={folder / "multi" / "VOC2007"}', 'num_workers=0')),
        'svm.shots=1,2', 'svm.draws=2', 'svm.costs=0.1,1.0', cwd=ROOT,
    )  # fmt: skip
    assert svm.returncode == 0, svm.stdout[-3000:]
    results = json.loads((folder / 'svm.json').read_text())
    assert len(results['full']['ap']) == len(results['full']['cost']) == 10 and set(results['low_shot']) == {'1', '2'}
    assert results['checkpoint'] == checkpoint and results['seed'] == 5 and results['commit'] and results['date']
    assert 0 < results['low_shot']['1']['map'] < 100 and f'| all | {results["full"]["map"]:.2f} |' in svm.stdout


def test_errors_name_what_is_wrong(folder):
    for words, message in (
        (
            [EVALUATE, str(folder / 'suite.py'), 'none.pth', '--out', str(folder / 'x')],
            'none.pth does not exist',
        ),
        ([CLASSIFY, str(LINEAR), 'none.pth'], "checkpoint 'none.pth' does not exist"),
        (
            [CLASSIFY, str(SEMI), str(METHOD), '--fast'],
            'the fast path only trains a linear classifier on features: model.frozen must be True',
        ),
    ):
        done = run(sys.executable, *words, cwd=ROOT)
        assert done.returncode == 1 and f'error: {message}' in done.stdout, done.stdout[-2000:]
