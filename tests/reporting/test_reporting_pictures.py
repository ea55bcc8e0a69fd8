"""Neighbors, histograms and training views of a report, on images whose neighbors are known."""

import numpy as np
import pytest
import torch
from helpers.report_runs import lewel_config, write_photos, write_run
from mmengine.registry import DATASETS, MODELS, init_default_scope

from lewel_plugins.checkpoints import model_config
from lewel_plugins.datasets import SeededSampler
from lewel_plugins.reporting import pictures as P
from lewel_plugins.reporting.run_data import read_runs
from lewel_plugins.seeding import derive_seed


def test_histograms_are_those_of_a_loop():
    rgb = torch.rand(3, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    rgb[0, :, 0, 0], rgb[1, :, 1, 1] = 1.0, 0.0  # the ends of the first and the last bin
    centers = (torch.arange(8) + 0.5) / 8
    expected = torch.zeros(3, 8, 8, 8)
    for n in range(3):
        for pixel in rgb[n].flatten(1).T.clamp(1 / 16, 15 / 16):
            r, g, b = (1 - 8 * (pixel[:, None] - centers).abs()).clamp(min=0)  # the shares of each bin
            expected[n] += r[:, None, None] * g[None, :, None] * b / 20
    histograms = P.color_histograms(rgb)
    torch.testing.assert_close(histograms, expected.flatten(1).sqrt(), atol=1e-3, rtol=0)
    torch.testing.assert_close(histograms.norm(dim=1), torch.ones(3))


def test_neighbors_by_histogram_are_those_of_the_color_of_a_plain_image():
    colors = torch.rand(300, 3, generator=torch.Generator().manual_seed(0))
    plain = P.nearest_others(P.color_histograms(colors[:, :, None, None].expand(-1, -1, 4, 4))).indices[:, :10]
    distances = torch.cdist(colors, colors).fill_diagonal_(torch.inf)
    by_color = distances.topk(10, largest=False).indices
    assert (plain[:, :, None] == by_color[:, None]).any(2).float().mean() > 0.5  # 0.1 with hard bins


def images_of(features: dict[str, torch.Tensor], paths: list[str]) -> P._Images:
    thumbnails = [P.Thumbnail(np.zeros((4, 4, 3), np.uint8), path) for path in paths]
    return P._Images(len(paths), thumbnails, paths, torch.full((len(paths),), -1), features)


def circle(angles: torch.Tensor) -> torch.Tensor:
    return torch.stack([angles.cos(), angles.sin()], 1)


def test_neighbors_are_the_closest_others():
    angles = torch.linspace(0, 1.5, 300)
    images = images_of({P.TRAINED: circle(angles)}, [f'{i}.jpg' for i in range(300)])
    rows = P._neighbor_rows(images, {P.TRAINED: P.nearest_others(images.features[P.TRAINED])})
    assert [row.picture.alt for row in rows] == [f'{i * 300 // 8}.jpg' for i in range(8)]
    assert {image.alt for image in rows[1].trained} == {f'{37 + i}.jpg' for i in (-3, -2, -1, 1, 2, 3)} | {
        rows[1].trained[-1].alt
    }
    assert rows[1].trained[-1].alt in ('33.jpg', '41.jpg') and rows[1].at_start == []


@pytest.mark.parametrize('same, overlap', [(True, 1.0), (False, 0.05)])
def test_overlap_with_colors(same, overlap):
    generator = torch.Generator().manual_seed(0)
    x, colors = (torch.randn(400, 8, generator=generator) for _ in range(2))
    images = images_of({}, [f'{i}.jpg' for i in range(400)])
    near = {P.TRAINED: P.nearest_others(x), P.BY_COLOR: P.nearest_others(x if same else colors)}
    measures = P._neighbor_measures(images, near)
    assert set(measures) == {'color_overlap'}  # there is one folder
    assert measures['color_overlap'] == 1.0 if same else measures['color_overlap'] < overlap


def test_shares_of_a_folder():
    x = circle(torch.cat([torch.linspace(0, 0.1, 200), torch.linspace(1, 1.1, 200)]))
    images = images_of({}, [f'{"ab"[i // 200]}/{i}.jpg' for i in range(400)])
    shuffled = x[torch.randperm(400, generator=torch.Generator().manual_seed(0))]
    measures = P._neighbor_measures(images, {P.TRAINED: P.nearest_others(x), P.BY_COLOR: P.nearest_others(shuffled)})
    assert measures['folder_share'] == 1.0
    assert measures['folder_by_color'] == pytest.approx(0.5, abs=0.05)
    assert measures['folder_chance'] == pytest.approx(199 / 399)


def test_few_images_have_no_measures():
    x = circle(torch.linspace(0, 1, 199))
    near = {P.TRAINED: P.nearest_others(x), P.BY_COLOR: P.nearest_others(x)}
    assert P._neighbor_measures(images_of({}, [f'{i}.jpg' for i in range(199)]), near) == {}


def test_knn_of_labeled_images():
    x = circle(torch.cat([torch.linspace(0, 0.1, 50), torch.linspace(2, 2.1, 50)]))
    noise = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    features = {P.TRAINED: x, P.AT_START: noise}
    labels = [0] * 50 + [1] * 50
    near = P._nearest_by_kind(features)
    accuracies = P._leave_one_out(torch.tensor(labels), near)
    assert accuracies[P.TRAINED] == 100.0 and 25 < accuracies[P.AT_START] < 75
    assert P._leave_one_out(torch.full((100,), -1), near) == {}


def test_pixels_are_centered():
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) + 5
    near = P._nearest_by_kind({P.PIXELS: x, P.TRAINED: x, P._EMBEDDINGS: x})
    assert list(near) == [P.TRAINED, P.PIXELS]
    for kind, features in ((P.TRAINED, x), (P.PIXELS, x - x.mean(0))):
        cosines = torch.cosine_similarity(features[:, None], features, dim=2).fill_diagonal_(-1)
        assert torch.equal(near[kind].indices[:, 0], cosines.argmax(1))


def test_views_are_those_of_the_first_epoch(tmp_path):
    write_photos(tmp_path / 'photos', 20)
    cfg = lewel_config(tmp_path / 'photos', seed=3)
    init_default_scope('mmpretrain')
    model = MODELS.build(model_config(cfg))
    rows = P.training_views(model, cfg)
    assert [len(row) for row in rows] == [2] * 16
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    first = next(iter(SeededSampler(dataset, seed=3)))
    assert first.seed == derive_seed(3, 0, first.index)
    view = dataset[first]['inputs'][1].flip(0).permute(1, 2, 0).numpy()  # BGR to RGB
    assert np.abs(rows[0][1].rgb.astype(int) - view.astype(int)).max() <= 1


def test_a_broken_image_is_left_out(tmp_path):
    paths = write_photos(tmp_path / 'photos', 12)
    paths[3].write_bytes(b'no image')
    run = write_run(tmp_path / 'a', tmp_path / 'photos')
    pictures = P.make_pictures(read_runs([run])[0])
    assert (pictures.total, pictures.count) == (12, 11)
    assert 'neighbors' not in pictures.missing and len(pictures.neighbors) == 8


def test_without_a_checkpoint_the_reason_is_named(tmp_path):
    pictures = P.make_pictures(read_runs([write_run(tmp_path / 'a')])[0])
    assert pictures.missing == dict(neighbors='there is no checkpoint', views='there is no checkpoint')


def test_transforms_without_a_validation_fit_the_views(tmp_path):
    resize, crop = P.evaluation_transforms(lewel_config(tmp_path))[1:3]
    assert (resize['scale'], crop['crop_size']) == (36, 32)
