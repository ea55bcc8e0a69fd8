"""What curves and numbers of a training mean, as named states with the condition that was met.

Every rule is a pure function of :class:`Measures`. A rule whose measures are missing makes its verdict unavailable,
with the reason. *Healthy* is the absence of all others, and claims no more than was measured.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from lewel_plugins.visualization.curves import Curve

# Thresholds. Those marked [r] are recommended and to be calibrated by seeded faults of whole trainings.
LEAST_STEPS = 200  # a shorter training is not called healthy [r]
TAIL = 0.2  # share of the checks that counts as the end of a training
EARLY = 0.1  # share of the steps that counts as the start of a training
PATIENCE = 3  # checks in a row
# Spread of embeddings. Without predictor and teacher it falls to 0.05 to 0.07 (docs/results/report_verdicts.md); at the
# end of 24 documented trainings it is at least 0.22.
LEAST_STD = 0.1
LEAST_RANK = 2.0
# RankMe of the backbone over min(n, D). Two of 342 documented trainings (D = 128) end below it, with a 20-NN of
# 37%, while random weights have 43%. All up to 0.08 are below the 57% of raw pixels.
FEW_DIRECTIONS = 0.05
# Share of the maximum in the second half that RankMe loses; at most 0.01 in these trainings. The first half does not
# count: in a healthy BYOL or LEWEL_B, RankMe falls from that of random weights to a quarter of it, and stays there.
RANK_DROP = 0.3
LOSS_CHANGE = 0.01  # share of its start by which a loss falls [r]
VIEW_RISE = 1.5  # times as often found as at the start, or as seldom missed [r]
# Share of neighbors that are also neighbors by color. For the mean color of images that are mostly of one color it is
# 0.52 to 0.54 (docs/results/color_neighbors.md). Four LEWEL networks trained on garment scenes had 0.04 to 0.28.
COLOR_OVERLAP = 0.4
FOLDER_RISE = 3.0  # times chance [r]
VIEW_SOLVED = 99.0  # per cent, within EARLY of the steps [r]
VIEW_GAP = 20.0  # points between training and held-out images [r]
MEMORIZING_FROM = 5000  # images [r]
SOLVED_FROM = 100  # watched images; among fewer, any network finds the other view [r]
RANKED_FROM = 4  # images per forward pass; RankMe of fewer is hardly above that of a collapse
WAIT_AMBER, WAIT_RED = 0.1, 0.3  # share of the time
JUMP = 6.0  # standard deviations by MAD, above the values before [r]
JUMP_SHARE = 0.01  # share of the logged values [r]
LEAST_JUMPS = 3  # one or two values of a short log are no instability [r]
LEAST_LOSSES = 20  # logged values below which jumps are not counted [r]
LEAST_JUMP = 0.05  # share of the range of the losses, so that a smooth curve has no jumps [r]
_BEFORE = 3  # logged values before a value
_MAD_TO_STD = 1.4826  # for a normal distribution

# Names of scalars, as `read_curves` returns them. The two views are top-1 retrieval in per cent.
STD, RANK, BACKBONE_RANK, LOSS = 'std', 'rank_me', 'representation/rank_me', 'loss'
VIEW_TRAIN, VIEW_HELD_OUT = 'finds_view/train', 'finds_view/held_out'

GOOD, CAUTION, BAD, UNKNOWN = 'good', 'caution', 'bad', 'unknown'


@dataclass(frozen=True)
class Measures:
    """What is known of a training. None: not measured.

    Args:
        curves: Result of :func:`~lewel_plugins.visualization.curves.read_curves`.
        total_steps: Steps of the whole training, done or not.
        num_images: Images trained on.
        num_watched: Images of which the other view is searched; None for those trained on.
        batch: Images per forward pass on all ranks, which bound RankMe of embeddings.
        rank_limit: Largest possible RankMe of the backbone's features, min(n, D).
        workers: Workers that load images, per rank.
        on_gpu: Whether the training ran on a GPU.
        color_overlap: Share of the 10 nearest neighbors that are also among the 10 nearest by color histogram.
        folder_share: Share of the 10 nearest neighbors from the folder of their image.
        folder_by_color: The same of neighbors by color histogram.
        folder_chance: The same of random pairs.
    """

    curves: Mapping[str, Curve] = field(default_factory=dict)
    total_steps: int | None = None
    num_images: int | None = None
    num_watched: int | None = None
    batch: int | None = None
    rank_limit: int | None = None
    workers: int | None = None
    on_gpu: bool = False
    color_overlap: float | None = None
    folder_share: float | None = None
    folder_by_color: float | None = None
    folder_chance: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A named state.

    Args:
        name: Its name.
        level: ``good``, ``caution``, ``bad`` or ``unknown``.
        condition: The condition that was met, with the numbers.
        sentence: What it means and what to do.
    """

    name: str
    level: str
    condition: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Judgement:
    """The verdicts on a training, the gravest first, and the reasons why others could not be judged, by name."""

    verdicts: tuple[Verdict, ...]
    unavailable: Mapping[str, str]

    @property
    def main(self) -> Verdict:
        """The gravest verdict."""
        return self.verdicts[0]


class _Missing(Exception):
    """A measure that a rule needs is missing; the message is the reason."""


def judge(measures: Measures) -> Judgement:
    """Apply all rules.

    Args:
        measures: What is known of the training.

    Returns:
        At least one verdict: ``healthy`` if no rule applies, ``unknown`` if not even a collapse can be excluded.
    """
    verdicts, unavailable = [], dict[str, str]()
    for name, rule in _RULES.items():
        try:
            verdict = rule(measures)
        except _Missing as missing:
            unavailable[name] = str(missing)
            continue
        if verdict is not None:
            verdicts.append(verdict)
    names = {verdict.name for verdict in verdicts}
    # Features that have collapsed also have few directions, and a loss that no longer changes.
    consequences = {'few directions', 'not learning'} if 'collapsed' in names else set()
    verdicts = [verdict for verdict in verdicts if verdict.name not in consequences]
    verdicts.sort(key=lambda verdict: verdict.level != BAD)
    return Judgement(tuple(verdicts) or (_no_fault(measures, unavailable),), unavailable)


def train_waits(curves: Mapping[str, Curve]) -> list[float]:
    """Return the share of the time in which the training waited for images, one per logged interval."""
    validated = {
        i for name, (steps, _) in curves.items() if name.startswith(('knn/', 'representation/')) for i in steps
    }
    seconds = dict(zip(*curves.get('time', ((), ()))))
    waits = zip(*curves.get('data_time', ((), ())))
    return [wait / seconds[i] for i, wait in waits if i not in validated and seconds.get(i, 0) > 0]


def loss_jumps(losses: Sequence[float]) -> int:
    """Count the losses that rise far above the values before them.

    A rise is measured from the median of the three values before, so that a plateau after a jump counts once or twice.
    It is a jump from :data:`JUMP` standard deviations, which are 1.48 MADs of all rises, and :data:`LEAST_JUMP` of the
    range. On 134 trainings without a fault, of 24 to 48 logged values each, this counts at most one.

    Args:
        losses: Logged values, finite, in the order of the steps.
    """
    rises = [losses[i] - median(losses[max(0, i - _BEFORE) : i]) for i in range(1, len(losses))]
    center = median(rises)
    spread = _MAD_TO_STD * median(abs(rise - center) for rise in rises)
    bound = max(JUMP * spread, LEAST_JUMP * (max(losses) - min(losses)))
    return sum(rise - center > bound for rise in rises) if bound > 0 else 0


def end_of(curve: Curve) -> list[float]:
    """Return the last :data:`TAIL` of the values, at least one."""
    values = curve[1]
    return values[-max(1, math.ceil(TAIL * len(values))) :]


def _curve(measures: Measures, name: str, what: str, least: int = 1) -> Curve:
    steps, values = measures.curves.get(name, ([], []))
    pairs = [(i, value) for i, value in zip(steps, values) if math.isfinite(value)]
    if len(pairs) < least:
        raise _Missing(
            f'{what} was logged {len(pairs)} times, and {least} are needed' if pairs else f'no {what} was logged'
        )
    return [i for i, _ in pairs], [value for _, value in pairs]


def _last_step(measures: Measures) -> int:
    return max((steps[-1] for steps, _ in measures.curves.values() if steps), default=0)


def _total_steps(measures: Measures) -> int:
    if not measures.total_steps:
        raise _Missing('the length of the training is unknown')
    return measures.total_steps


def _unstable(measures: Measures) -> Verdict | None:
    raw = measures.curves.get(LOSS, ([], []))[1]
    infinite = sum(not math.isfinite(value) for value in raw)
    if infinite:
        condition = f'{infinite} of {len(raw)} logged losses {"is" if infinite == 1 else "are"} not finite'
        return Verdict('unstable', BAD, condition, 'Unstable: the loss is no longer a number; lower the rate.')
    losses = _curve(measures, LOSS, 'loss', LEAST_LOSSES)[1]
    losses = losses[math.ceil(EARLY * len(losses)) :]  # while a queue fills, its loss rises
    count = loss_jumps(losses)
    if count < LEAST_JUMPS or count <= JUMP_SHARE * len(losses):
        return None
    condition = (
        f'{count} of {len(losses)} logged losses rise {JUMP:g} MADs above those before, more than {JUMP_SHARE:.0%}'
    )
    return Verdict('unstable', BAD, condition, f'Unstable: the loss jumped {count} times; lower the rate.')


def _collapsed(measures: Measures) -> Verdict | None:
    if measures.total_steps and _last_step(measures) < EARLY * measures.total_steps:
        raise _Missing('less than a tenth of the steps is done, and MoCo v2 starts as if it had collapsed')
    stds = _curve(measures, STD, 'spread (std) of embeddings', PATIENCE)[1][-PATIENCE:]
    ranks = _curve(measures, RANK, 'RankMe of embeddings', PATIENCE)[1][-PATIENCE:]
    if max(stds) < LEAST_STD:
        condition = f'std {max(stds):.3g} < {LEAST_STD:g}, in the last {PATIENCE} checks'
    elif max(ranks) < LEAST_RANK and (measures.batch is None or measures.batch >= RANKED_FROM):
        condition = f'RankMe of embeddings {max(ranks):.3g} < {LEAST_RANK:g}, in the last {PATIENCE} checks'
    else:
        return None
    sentence = (
        'Collapsed: all images look alike to the network, and these weights are of no use. The usual cause is too high '
        'a learning rate; try a third of it.'
    )
    return Verdict('collapsed', BAD, condition, sentence)


def _not_learning(measures: Measures) -> Verdict | None:
    losses = _curve(measures, LOSS, 'loss', PATIENCE)
    views = _curve(measures, VIEW_TRAIN, 'retrieval of the other view', PATIENCE)
    if _last_step(measures) < EARLY * _total_steps(measures):
        raise _Missing('less than a tenth of the steps is done')
    start, end = losses[1][0], median(end_of(losses))
    view_start, view_end = views[1][0], median(end_of(views))
    misses_less = 100 - view_start >= VIEW_RISE * (100 - view_end) and view_end > view_start
    finds_more = view_end >= VIEW_RISE * view_start or misses_less
    # Without learning, the loss of a queue still rises while keys replace the random vectors of the start.
    if start - end > LOSS_CHANGE * abs(start) or finds_more:
        return None
    condition = (
        f'loss {end:.4g}, not {LOSS_CHANGE:.0%} below its start {start:.4g}, and it finds the other view of '
        f'{view_end:.3g}% of images, less than {VIEW_RISE:g} × the {view_start:.3g}% of the start'
    )
    sentence = (
        'Not learning: nothing has changed since the start. Look for empty or identical views in section 4; if they '
        'are fine, raise the rate.'
    )
    return Verdict('not learning', BAD, condition, sentence)


def _memorizing(measures: Measures) -> Verdict | None:
    seen = median(end_of(_curve(measures, VIEW_TRAIN, 'retrieval of the other view')))
    new = median(end_of(_curve(measures, VIEW_HELD_OUT, 'retrieval of the other view of held-out images')))
    if measures.num_images is None:
        raise _Missing('the number of images is unknown')
    if measures.num_images < MEMORIZING_FROM:
        raise _Missing(f'it is not judged below {MEMORIZING_FROM:,} images')
    if seen - new <= VIEW_GAP:
        return None
    condition = (
        f'it finds the other view of {seen:.3g}% of its training images and of {new:.3g}% of held-out ones, more than '
        f'{VIEW_GAP:g} points apart'
    )
    sentence = 'Memorizing: it knows its training images much better than new ones; use fewer epochs or more images.'
    return Verdict('memorizing', BAD, condition, sentence)


def _shortcut(measures: Measures) -> Verdict | None:
    cues = [cue(measures) for cue in (_color_cue, _folder_cue, _solved_cue)]
    if all(cue is None for cue in cues):
        raise _Missing('neither neighbors of pictures nor retrieval of the other view were measured')
    signs = [cue for cue in cues if cue]
    if not signs:
        return None
    condition = '; '.join(condition for condition, _ in signs)
    sentence = (
        f'Signs of a shortcut: {signs[0][1]}. Look at section 3 before using these weights; smaller crops or stronger '
        'color changes may help.'
    )
    return Verdict('shortcut', CAUTION, condition, sentence)


# A cue is None if it was not measured, and empty if there is no sign of it.
_Cue = tuple[str, str] | tuple[()] | None


def _color_cue(measures: Measures) -> _Cue:
    share = measures.color_overlap
    if share is None:
        return None
    condition = f'{share:.0%} of 10 neighbors are also neighbors by color histogram, at least {COLOR_OVERLAP:.0%}'
    return (condition, 'neighbors are picked by color') if share >= COLOR_OVERLAP else ()


def _folder_cue(measures: Measures) -> _Cue:
    """Judge neighbors by folder only where colors give it away: a folder that holds a class is to be learned."""
    share, by_color, chance = measures.folder_share, measures.folder_by_color, measures.folder_chance
    if share is None or by_color is None or not chance:
        return None
    if min(share, by_color) < FOLDER_RISE * chance:
        return ()
    condition = (
        f'{share:.0%} of 10 neighbors come from the same folder, and {by_color:.0%} of neighbors by color histogram, '
        f'at least {FOLDER_RISE:g} × the {chance:.0%} of chance'
    )
    return condition, 'neighbors are picked by their folder, which colors give away'


def _solved_cue(measures: Measures) -> _Cue:
    steps, values = measures.curves.get(VIEW_TRAIN, ([], []))
    watched = measures.num_images if measures.num_watched is None else measures.num_watched
    if not steps or not measures.total_steps or (watched or 0) < SOLVED_FROM:
        return None
    early = [value for i, value in zip(steps, values) if i <= EARLY * measures.total_steps]
    if not early or max(early) <= VIEW_SOLVED:
        return ()
    condition = f'it found the other view of {max(early):.3g}% of images within a tenth of the steps'
    return condition, 'the other view is found by something too easy'


def _few_directions(measures: Measures) -> Verdict | None:
    ranks = _curve(measures, BACKBONE_RANK, 'RankMe of the backbone')
    value, highest, limit = median(end_of(ranks)), max(ranks[1][len(ranks[1]) // 2 :]), measures.rank_limit
    if limit is None and len(ranks[1]) < 2:
        raise _Missing('RankMe of the backbone was logged once, and its largest possible value is unknown')
    if limit is not None and value <= FEW_DIRECTIONS * limit:
        condition = f'RankMe of the backbone {value:.3g} ≤ {FEW_DIRECTIONS:.0%} of {limit}'
    elif value <= (1 - RANK_DROP) * highest:
        condition = (
            f'RankMe of the backbone {value:.3g}, at least {RANK_DROP:.0%} below the {highest:.3g} that it had in the '
            'second half'
        )
    else:
        return None
    used = f'{value:.0f} of {limit}' if limit is not None else f'{value:.0f}, after {highest:.0f}'
    sentence = (
        f'Few directions in use: {used}. Features have not collapsed but carry little; a longer run or a lower rate '
        'often helps.'
    )
    return Verdict('few directions', CAUTION, condition, sentence)


def _input_bound(measures: Measures) -> Verdict | None:
    waits = train_waits(measures.curves)
    if not waits:
        raise _Missing('no waiting time was logged')
    wait = median(waits)
    if wait < WAIT_AMBER:
        return None
    who = 'GPU' if measures.on_gpu else 'training'
    workers = ''
    if measures.workers is not None:
        count = max(measures.workers + 1, math.ceil(1.25 * max(1, measures.workers) / (1 - min(wait, 0.9))))
        workers = f'use {count} workers instead of {measures.workers}, or '
    remedy = f'{workers or "use more workers, or "}smaller copies of the files'
    sentence = f'The {who} waited for images {wait:.0%} of the time; {remedy}.'
    bound = WAIT_RED if wait >= WAIT_RED else WAIT_AMBER
    level = BAD if wait >= WAIT_RED else CAUTION
    return Verdict('input-bound', level, f'median wait {wait:.0%} ≥ {bound:.0%} of the time', sentence)


_RULES: dict[str, Callable[[Measures], Verdict | None]] = {  # the gravest first
    'collapsed': _collapsed,
    'unstable': _unstable,
    'not learning': _not_learning,
    'memorizing': _memorizing,
    'shortcut': _shortcut,
    'few directions': _few_directions,
    'input-bound': _input_bound,
}


def _no_fault(measures: Measures, unavailable: Mapping[str, str]) -> Verdict:
    """Return ``healthy`` with what was measured, or ``unknown`` if not even a collapse can be excluded."""
    if 'collapsed' in unavailable:
        sentence = (
            f'No verdict: whether the features have collapsed cannot be judged, because {unavailable["collapsed"]}.'
        )
        return Verdict('unknown', UNKNOWN, 'too little was measured', sentence)
    if measures.total_steps is not None and measures.total_steps < LEAST_STEPS:
        steps = f'{measures.total_steps:,}'
        sentence = f'No verdict: {steps} steps are too few to judge a training by; nothing went wrong in them.'
        return Verdict('unknown', UNKNOWN, f'{steps} < {LEAST_STEPS} steps', sentence)
    claims = ['features stay spread']
    # Of the embeddings: that of the backbone also rises without learning, once batch norm has measured its statistics.
    if _rises(measures.curves.get(RANK, ([], []))):
        claims.append('use more directions than at the start')
    if _rises(measures.curves.get(VIEW_HELD_OUT, ([], [])), VIEW_RISE):
        claims.append('the network finds the other view of images it has not seen')
    text = (
        ', '.join(claims[:-1]) + (', and ' if len(claims) > 2 else ' and ') + claims[-1]
        if len(claims) > 1
        else claims[0]
    )
    condition = f'none of {", ".join(name for name in _RULES if name not in unavailable)}'
    return Verdict('healthy', GOOD, condition, f'Healthy: {text}.')


def _rises(curve: Curve, factor: float = 1.0) -> bool:
    return len(curve[1]) > 1 and median(end_of(curve)) > factor * curve[1][0]
