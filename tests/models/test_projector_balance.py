import math

import pytest
import torch
from helpers import references as naive
from helpers import references_mpcl as naive_mpcl
from torch import Tensor

from lewel_plugins.functional.mpcl import PCR_FORMS
from lewel_plugins.models import ProjectorBalance

pytestmark = pytest.mark.core


def embeddings(num: int, seed: int = 0) -> Tensor:
    return torch.randn(2, num, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_hand_worked_epoch():
    """Accuracies of batches of 4, 4 and 2 images equal those counted by hand; ε = 0.5."""
    balance = ProjectorBalance(2).double()
    batches = [(4, [1.0, 0.5]), (4, [0.75, 0.25]), (2, [1.0, 0.5])]
    losses = torch.tensor([2.0, 4.0], dtype=torch.float64)
    for step, (num, accuracies) in enumerate(batches):
        terms = balance(losses, torch.tensor(accuracies, dtype=torch.float64), embeddings(num, step))
        assert terms['loss_contrastive'].item() == 3  # equal weights in the first epoch
    actual = balance.rebalance(0.5)
    # (4 + 3 + 2) / 10 and (2 + 1 + 1) / 10 → e^0.2 : e^1.2 → 1 : e
    assert actual['accuracy'] == pytest.approx([0.9, 0.4])
    assert actual['weight'] == pytest.approx([0.2689414213699951, 0.7310585786300049], abs=1e-12)
    assert balance.weights.tolist() == pytest.approx(actual['weight'])
    z = torch.cat([embeddings(num, step) for step, (num, _) in enumerate(batches)], 1)
    expected = naive_mpcl.projector_cosines(z).mean(0)
    assert naive.largest_difference([torch.tensor(actual['cosine'])], [expected.float()]) < 1e-6
    assert all(total.abs().sum() == 0 for total in balance.accumulators())
    terms = balance(losses, torch.ones(2).double(), embeddings(4))
    assert terms['loss_contrastive'].item() == pytest.approx(2 * 0.2689414213699951 + 4 * 0.7310585786300049)
    assert balance.rebalance(0.5)['weight'] == pytest.approx([0.5, 0.5])  # counts this epoch alone


def test_in_per_cent_one_projector_has_nearly_all_weight():
    """Accuracies of 62 and 65 % at ε = 0.5: e^6 : 1 in per cent, and e^0.06 : 1 otherwise."""
    for percent, exponent in ((True, 6), (False, 0.06)):
        balance = ProjectorBalance(2).double()
        balance(torch.ones(2).double(), torch.tensor([0.62, 0.65], dtype=torch.float64), embeddings(4))
        ratio = math.exp(exponent)
        expected = pytest.approx([ratio / (1 + ratio), 1 / (1 + ratio)])
        assert balance.rebalance(0.5, percent)['weight'] == expected


def test_without_epsilon_the_weights_stay_equal():
    balance = ProjectorBalance(4)
    balance(torch.ones(4), torch.tensor([0.1, 0.5, 0.9, 0.3]), torch.randn(4, 3, 5))
    actual = balance.rebalance(None)
    assert actual['weight'] == [0.25] * 4
    assert actual['accuracy'] == pytest.approx([0.1, 0.5, 0.9, 0.3])
    assert balance.rebalance(0.5)['accuracy'] == [0] * 4  # an epoch without a batch


@pytest.mark.parametrize('pcr', PCR_FORMS)
def test_pcr_is_the_mean_over_the_views(pcr):
    balance = ProjectorBalance(2, pcr, pcr_weight=0.5).double()
    views = [embeddings(3, seed) for seed in (0, 1)]
    actual = balance(torch.zeros(2).double(), torch.zeros(2).double(), *views)['loss_pcr']
    expected = 0.5 * sum(naive_mpcl.projector_regularization(view, pcr) for view in views) / 2
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)
    assert balance.cosines.diagonal().tolist() == pytest.approx([3, 3])


def test_state_is_in_the_checkpoint():
    balance, other = ProjectorBalance(2), ProjectorBalance(2)
    balance(torch.ones(2), torch.tensor([0.2, 0.6]), torch.randn(2, 6, 5))
    other.load_state_dict(balance.state_dict())
    assert balance.state_dict().keys() == {'weights', 'images', 'correct', 'cosines', 'hsic'}
    assert other.rebalance(0.5) == balance.rebalance(0.5)


def test_cka_of_an_epoch():
    """The ratio of sums over batches and views, weighted by the images, against a double loop; then it starts anew."""
    balance = ProjectorBalance(3).double()
    batches = [
        [torch.randn(3, num, 4, generator=torch.Generator().manual_seed(10 * num + view)).double() for view in (0, 1)]
        for num in (6, 4, 6)
    ]
    for views in batches:
        views[0][1] += 2 * views[0][0]  # related
        balance(torch.ones(3).double(), torch.ones(3).double(), *views)
    expected = sum(naive_mpcl.hsic(view) * view.shape[1] / 2 for views in batches for view in views)
    actual = torch.tensor(balance.rebalance(None)['cka'], dtype=torch.float64)
    for m in range(3):
        for other in range(3):
            ratio = expected[m, other] / (expected[m, m] * expected[other, other]).sqrt()
            assert actual[m, other].item() == pytest.approx(ratio.item(), abs=1e-6)
    assert actual[0, 1] > 0.2 > abs(actual[0, 2])
    balance(torch.ones(3).double(), torch.ones(3).double(), batches[0][0])
    torch.testing.assert_close(balance.hsic, 6 * naive_mpcl.hsic(batches[0][0]), rtol=0, atol=1e-12)


def test_batches_of_three_images_have_no_cka():
    balance = ProjectorBalance(2)
    balance(torch.ones(2), torch.ones(2), torch.randn(2, 3, 5))
    assert torch.tensor(balance.rebalance(None)['cka']).isnan().all()
