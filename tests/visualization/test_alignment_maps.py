import pytest
import torch

from lewel_plugins.visualization.alignment_maps import draw_alignment_maps, held_out_best, mass_on_object, pick_maps

pytestmark = pytest.mark.core


def test_mass_is_the_sum_over_the_object():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(3, 5, 4, 6, generator=generator, dtype=torch.float64)
    masks = torch.rand(3, 8, 12, generator=generator) < 0.4
    expected = torch.zeros(3, 5, dtype=torch.float64)
    for n in range(3):
        for k in range(5):
            for y in range(8):
                for x in range(12):
                    expected[n, k] += maps[n, k, y // 2, x // 2] / 4 * masks[n, y, x]
            expected[n, k] /= maps[n, k].sum()
    torch.testing.assert_close(mass_on_object(maps, masks), expected)


def test_uniform_maps_give_the_area_and_a_map_on_the_object_gives_one():
    masks = torch.zeros(2, 8, 8)
    masks[:, 2:4, 4:8] = 1
    maps = torch.zeros(2, 3, 4, 4)
    maps[:, 0] = 0.5
    maps[:, 1, 1, 2:] = 7
    maps[:, 2, 3] = 1
    torch.testing.assert_close(mass_on_object(maps, masks), torch.tensor([[8 / 64, 1, 0]] * 2))


def test_mass_needs_shapes_that_match():
    with pytest.raises(ValueError, match=r'got \(2, 3, 4, 4\) and \(1, 8, 8\)'):
        mass_on_object(torch.ones(2, 3, 4, 4), torch.ones(1, 8, 8))
    with pytest.raises(ValueError, match=r'masks \(2, 8\) are coarser than the maps \(4, 4\)'):
        mass_on_object(torch.ones(1, 3, 4, 4), torch.ones(1, 2, 8))


def test_the_best_map_of_noise_is_no_better_than_the_mean():
    """If the same images selected and measured it, the best of 200 noise maps would stand out."""
    shares = torch.rand(100, 200, generator=torch.Generator().manual_seed(0))
    measured, selected = held_out_best(shares)
    assert shares.mean(0).max() > 0.56
    assert abs(measured.mean() - 0.5) < 0.05
    assert selected[0] != selected[1]


def test_the_best_map_is_selected_and_measured_on_all_images():
    shares = torch.rand(31, 6, generator=torch.Generator().manual_seed(0)) * 0.2
    shares[:, 4] += 0.5
    measured, selected = held_out_best(shares)
    assert selected.tolist() == [4, 4] and torch.equal(measured, shares[:, 4])
    with pytest.raises(ValueError, match='got 1'):
        held_out_best(shares[:1])


def test_picked_maps_are_peaked_and_differ():
    flat = torch.full((2, 5, 4, 4), 1 / 16)
    maps = flat.clone()
    maps[:, 3, 0, 0] += 0.5
    maps[:, 1, 0, 0] += 0.4  # map 3, but a little weaker
    maps[:, 2, 2, 1] += 0.3
    assert pick_maps(maps, 2) == [3, 2]
    assert pick_maps(maps, 3)[:2] == [3, 2]
    assert sorted(pick_maps(maps, 9)) == [0, 1, 2, 3, 4]


def test_figure_has_one_panel_per_map(tmp_path):
    maps = torch.rand(3, 8, 4, 4).flatten(2).softmax(2).view(3, 8, 4, 4)
    masks = torch.zeros(3, 16, 16)
    masks[:, 4:12, 4:12] = 1
    figure = draw_alignment_maps(torch.rand(3, 3, 16, 16), maps, [5, 2], masks, 'title')
    titles = [axis.get_title() for axis in figure.axes]
    assert len(titles) == 3 * 3
    assert [t.split('\n')[0] for t in titles if t] == ['image', 'map 5', 'map 2']
    flat = draw_alignment_maps(torch.rand(2, 3, 16, 16), torch.full((2, 8, 4, 4), 1 / 16), [1])
    assert flat.axes[1].get_title() == 'map 1\n1.00 to 1.00'
    draw_alignment_maps(torch.rand(1, 3, 16, 16), torch.full((1, 2, 4, 4), 1 / 16), [0]).savefig(tmp_path / 'a.png')
    assert (tmp_path / 'a.png').stat().st_size > 1000
