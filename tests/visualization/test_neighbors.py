import torch
from matplotlib.colors import to_hex

from lewel_plugins.visualization.neighbors import Neighbors, draw_neighbors


def test_frames_show_whether_the_class_is_the_same():
    images = torch.rand(3, 3, 4, 4)
    rows = [
        Neighbors(torch.zeros(3, 4, 4), 'coat', images, ['coat', 'shirt', 'coat'], [0.9, 0.8, 0.7]),
        Neighbors(torch.ones(3, 4, 4), 'bag', images[:1], ['bag'], [0.5]),
    ]
    axes = draw_neighbors(rows, 'title').axes
    assert len(axes) == 8
    titles = [axis.get_title() for axis in axes]
    assert titles == ['coat', 'coat 0.90', 'shirt 0.80', 'coat 0.70', 'bag', 'bag 0.50', '', '']
    frames = [to_hex(axis.spines['left'].get_edgecolor()) for axis in axes[:6]]
    right, wrong = frames[1], frames[2]
    assert right != wrong and frames == ['#000000', right, wrong, right, '#000000', right]
    assert axes[2].images[0].get_array().shape == (4, 4, 3)
    assert not axes[6].axison
