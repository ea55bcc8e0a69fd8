"""Dry runs of detectors and segmenters."""

from collections import Counter

import pytest
from helpers.tool_runs import ROOT
from mmengine.config import Config

from lewel_plugins.dry_run.errors import StepError
from lewel_plugins.dry_run.step import DryRun, StepRecord

BENCHMARKS = ROOT / 'configs' / 'benchmarks'
DETECTORS = sorted((BENCHMARKS / 'mmdetection').glob('[cv]*/*.py'))
LIMITED = [path for path in DETECTORS if path.stem.startswith('mask-rcnn_r50-c4')]
SYNC_BN_LAYERS = 53 + 4  # layers of ResNet-50, and of the heads of FCN


def measure(path: str, batch: int = 1) -> StepRecord:
    pytest.importorskip('mmcv._ext')
    return DryRun(Config.fromfile(BENCHMARKS / path), 2).measure(batch)


def test_a_segmenter_passes_and_waits_only_in_upstream_code():
    record = measure('mmsegmentation/voc12aug/fcn_r50-d8_4xb4-20k_voc12aug-512x512.py')
    assert (record.batch, record.views, record.unused) == (1, [512], [])
    kinds = Counter(x.kind for x in record.counters.collectives)
    assert kinds == dict(all_gather=SYNC_BN_LAYERS, all_reduce=SYNC_BN_LAYERS)
    assert all(source.startswith(('mmseg/', 'mmcv/')) for _, source in record.counters.waits)
    waits = [(count, source) for (kind, source), count in record.counters.waits.items() if kind == 'mask']
    assert sum(count for count, source in waits if '/losses/' not in source) == 3 * SYNC_BN_LAYERS


@pytest.mark.nightly
@pytest.mark.parametrize('path', [path for path in DETECTORS if path not in LIMITED], ids=lambda path: path.stem)
def test_a_detector_passes(path):
    record = measure(str(path), batch=2)
    assert not record.unused and sum(kernel.flop for kernel in record.counters.kernels) > 2e12


@pytest.mark.nightly
@pytest.mark.parametrize('path', LIMITED, ids=lambda path: path.stem)
def test_a_detector_beyond_the_limits_stops_with_a_hint(path):
    with pytest.raises(StepError, match='depend on values that a dry run does not have') as caught:
        measure(str(path))
    assert caught.value.source.startswith('mmdet/models/losses/')
