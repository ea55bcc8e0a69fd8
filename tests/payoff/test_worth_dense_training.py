"""One real training of a detector and of a segmenter as ``lewel worth`` starts it, and the measured cost of all."""

import pytest
from helpers.labels import make_coco, make_masks
from helpers.worth_images import CONFIG

from lewel_plugins.api.worth import worth
from lewel_plugins.api.worth_training import train_dense
from lewel_plugins.finetuning.masks import count_pixels
from lewel_plugins.payoff.dense_labels import read_dense_labels
from lewel_plugins.payoff.dense_material import DenseMaterial
from lewel_plugins.payoff.networks import write_random_network

COUNT = 12


@pytest.mark.parametrize(('task', 'make'), [('detector', make_coco), ('segmenter', make_masks)])
def test_costs_are_measured_and_a_training_is_scored(tmp_path, task, make):
    path = make(tmp_path / 'data', COUNT)
    lines = []
    settings = ('backbone=resnet10', 'image_size=32', 'epochs=1', 'gpus=0', 'workers=0', 'finetune_epochs=1')
    planned = worth(
        tmp_path / 'data' / 'images',
        path,
        tmp_path / 'out',
        seeds=1,
        overrides=settings,
        dry_run=True,
        say=lines.append,
    )
    assert planned.status == 'planned' and not (tmp_path / 'out').exists() and lines[-1].startswith('  in all')

    labels = read_dense_labels(task, str(path))
    material = DenseMaterial(labels, (0,) * COUNT, tuple(range(COUNT)), tuple(range(8)), tuple(range(8, COUNT)))
    network, folder = tmp_path / 'start.pth', tmp_path / f'A_{task}_all_seed0-0123456789'
    write_random_network(CONFIG, 5, network)
    options = dict(gpus=0, workers=0)
    result = train_dense(network, material, range(4), material.test, 1.0, 0, 1.0, 1, folder, **options)
    assert not folder.exists()
    assert len(result.images) == 4 and 0 <= result.points <= 100
    assert result == material.score(material.test, result.images)
    if task == 'segmenter':
        for image, record in zip(material.images(material.test), result.images):
            pixels = count_pixels(image)
            assert all(record['intersection'][label] <= pixels[label] <= record['union'][label] for label in range(2))
    else:
        assert all(len(row) == 6 and 0 <= row[1] <= 1 for rows in result.images for row in rows)
