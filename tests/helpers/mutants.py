"""Functions of the package with a mistake in one line, as a hand could make it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from lewel_plugins import dist
from lewel_plugins.functional import contrastive, lewel, msbreg, smog
from lewel_plugins.functional._precision import _widen
from lewel_plugins.models import KeyQueue, LEWELContrastHead
from lewel_plugins.models.feature_cache import FeatureCache
from lewel_plugins.models.losses.brownian_loss import directions
from lewel_plugins.models.momentum_encoder import MomentumEncoder
from lewel_plugins.models.momentum_groups import MomentumGroups
from lewel_plugins.models.projector_balance import ProjectorBalance
from lewel_plugins.optim import LARS
from lewel_plugins.transforms.ops import batch

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """A mistake.

    Attributes:
        method: A method whose training runs the function.
        function: The function.
        line: Part of the line that is changed; it occurs once in the function.
        mistake: What it is replaced by.
        used: Part of the line of the file that uses the wrong tensor, if it is another line, where the mistake shows.
        error: Beginning of the error that a GPU raises.
        wait: The wait that it causes.
        is_low: Whether it leaves a loss in low precision.
        needs_ranks: Whether it shows on several ranks only.
    """

    method: str
    function: Callable
    line: str
    mistake: str
    used: str = ''
    error: str = ''
    wait: str = ''
    is_low: bool = False
    needs_ranks: bool = False


READ, MASK = 'read by the host', 'mask'
MUTANTS = dict(
    queue_columns_on_cpu=Mutant(
        'lewel_m',
        KeyQueue.start_enqueue,
        'torch.arange(count, device=k.device)',
        'torch.arange(count)',
        error='add of tensors on cuda:0 and cpu',
    ),
    queue_position_read=Mutant(
        'lewel_m', KeyQueue.start_enqueue, '(self.position + torch', '(int(self.position) + torch', wait=READ
    ),
    mask_on_cpu=Mutant(
        'lewel_m',
        lewel.aligned_info_nce,
        'dtype=torch.bool, device=q.device',
        'dtype=torch.bool',
        used='negatives = logits.masked_fill_',
        error='masked_fill_ of tensors on cuda:0 and cpu',
    ),
    mask_instead_of_fill=Mutant(
        'lewel_m',
        lewel.aligned_info_nce,
        'F.logsigmoid(positive - negatives).mean()',
        'F.logsigmoid((positive - negatives)[negatives > -1e9]).mean()',
        wait=MASK,
    ),
    weight_on_cpu=Mutant(
        'lewel_m',
        LEWELContrastHead.loss,
        'loss_aligned=self.beta * loss_aligned',
        "loss_aligned=loss_aligned.new_full((1,), self.beta, device='cpu') * loss_aligned",
        error='mul of tensors on cpu and cuda:0',
    ),
    no_widening=Mutant('lewel_b', _widen, 'x.float() if low else x', 'x', is_low=True),
    shuffle_order_on_cpu=Mutant(
        'lewel_m',
        dist.start_batch_shuffle,
        'torch.randperm(x.shape[0], device=x.device)',
        'torch.randperm(x.shape[0])',
        used='receive = _start_exchange(x[order])',
        wait='indices from the host',
        needs_ranks=True,
    ),
    gather_of_a_transposed_tensor=Mutant(
        'lewel_m',
        dist._start_gather,
        'x.detach().contiguous()',
        'x.detach().t().contiguous().t()',
        used='all_gather_into_tensor(out, own',
        error='all_gather of a tensor that is not contiguous',
        needs_ranks=True,
    ),
    schedule_reads_a_buffer=Mutant(
        'byol_multi_crop', MomentumEncoder.update, 'self.momentum_at(progress)', 'float(self.updates) * 0', wait=READ
    ),
    noise_of_the_cpu=Mutant(
        'msbreg',
        directions,
        'generator=shared_generator(device)',
        'generator=torch.Generator()',
        used='every = torch.randn(',
        error='randn on CUDA with a generator of CPU',
    ),
    identity_on_cpu=Mutant(
        'msbreg',
        msbreg.singular_value_loss,
        'torch.eye(d, dtype=S.dtype, device=S.device)',
        'torch.eye(d)',
        error='sub of tensors on cuda:0 and cpu',
    ),
    groups_counted=Mutant(
        'smog',
        smog._renumber,
        'ascending, order = assignment.sort()',
        'ascending, order = assignment.unique().repeat_interleave(1)[:1].repeat(len(assignment)), assignment.argsort()',
        wait='size of _unique2',
    ),
    sums_on_cpu=Mutant(
        'smog',
        smog.group_sums,
        'sums, counts = z.new_zeros(num_groups, z.shape[1]), z.new_zeros(num_groups)',
        'sums, counts = z.new_zeros(num_groups, z.shape[1]), torch.zeros(num_groups)',
        used='counts = counts.scatter_add(',
        error='scatter_add of tensors on cpu and cuda:0',
    ),
    cache_on_cpu=Mutant('smog', FeatureCache.add, 'F.normalize(z.detach()', 'F.normalize(z.detach().cpu()', wait=READ),
    agreement_read=Mutant(
        'smog',
        MomentumGroups.move,
        '+= (assignment == teacher_assignment).sum()',
        '+= (assignment == teacher_assignment).sum().item()',
        wait=READ,
    ),
    accuracy_read=Mutant(
        'mpcl_moco', ProjectorBalance._count, '+= accuracies * N', '+= accuracies.mean().item() * N', wait=READ
    ),
    columns_on_cpu=Mutant(
        'mpcl_moco_v3',
        contrastive.batch_similarities,
        'torch.arange(total, device=q.device)',
        'torch.arange(total)',
        used='logits.masked_fill(own',
        error='masked_fill of tensors on cuda:0 and cpu',
    ),
    variance_branch=Mutant(
        'mpcl_barlow_twins',
        contrastive.standardize,
        'return centered *',
        'return centered if (variance == 0).all() else centered *',
        wait=READ,
    ),
    norms_read=Mutant(
        'lewel_b',
        LARS._step_group,
        'trust = self.eta * weight_norms',
        'trust = weight_norms.max().item() * self.eta * weight_norms',
        wait=READ,
    ),
    crops_drawn_on_cpu=Mutant(
        'lewel_b',
        batch.random_crop_boxes,
        'torch.rand(4, count, 10, device=device)',
        'torch.rand(4, count, 10).to(device)',
        wait='copy from the host',
    ),
)


@contextmanager
def mutated(mutant: Mutant) -> Iterator[str]:
    """Put the mistake into the function, wherever it is referenced; yield ``file:line`` where it shows."""
    function = inspect.unwrap(mutant.function)
    lines, first = inspect.getsourcelines(function)
    source = textwrap.dedent(''.join(lines))
    assert source.count(mutant.line) == 1, f'{mutant.line!r} is not in {function.__qualname__}, or not once'
    tree = ast.parse(source.replace(mutant.line, mutant.mistake))
    ast.increment_lineno(tree, first - 1)
    file = function.__code__.co_filename
    codes = compile(tree, file, 'exec').co_consts
    place = _line(lines, mutant.line, first)
    if mutant.used:
        place = _line(Path(file).read_text(encoding='utf-8').split('\n'), mutant.used, 1)
    before = function.__code__
    function.__code__ = next(x for x in codes if isinstance(x, CodeType) and x.co_name == function.__name__)
    try:
        yield f'{Path(file).relative_to(ROOT).as_posix()}:{place}'
    finally:
        function.__code__ = before


def _line(lines: list[str], part: str, first: int) -> int:
    (place,) = (i for i, line in enumerate(lines, first) if part in line)
    return place
