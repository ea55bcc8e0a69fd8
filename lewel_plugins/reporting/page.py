"""The page of a report: what its sections show, and the HTML of it.

All texts are escaped by the template engine, and absolute paths in them are shortened, in one place for every value.
"""

import base64
import io
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

from lewel_plugins.comparison.statistics import paired_difference
from lewel_plugins.files import read_json
from lewel_plugins.planning.findings import gigabytes
from lewel_plugins.running.provenance import now
from lewel_plugins.version import __version__
from lewel_plugins.visualization.curves import Curve

from . import figures
from .pictures import AT_START, BY_COLOR, PIXELS, TRAINED, Pictures
from .run_data import RunData, public_text
from .verdicts import BAD, CAUTION, GOOD, UNKNOWN, Judgement, end_of, judge, train_waits

SYMBOLS = {GOOD: '●', CAUTION: '▲', BAD: '■', UNKNOWN: '◆'}
MOST_LISTED = 12  # findings of a check, and settings that have a warning
MOST_TEXT = 300  # characters of a value
_IN_TORCHVISION = ('ResNet', 'SwinTransformer')  # networks that mmpretrain and torchvision share
# Scalars whose ends are compared over seeds, and their names, within one method only.
_COMPARED = (
    ('loss', 'loss'),
    ('std', 'spread'),
    ('rank_me', 'RankMe, embeddings'),
    ('representation/rank_me', 'RankMe, backbone'),
)

LIMITS = (
    'Without labels nothing here is a measure of quality. The curves show the course of one training. They are no '
    'ranking of trainings and no score: RankMe is for runs of one method only, rank is not all that matters (RankMe), '
    'and it fails under a collapse or outside joint embedding (IdEst). "No free lunch" (Tsitsulin).',
    'In the comparisons of this project on garment scenes, the RankMe of the backbone and the 20-NN accuracy moved in '
    'the same direction from the first validation to the last in 311 of 321 trainings (97%). Of two trainings that '
    'differ only in their seed, the one with the higher RankMe has the higher accuracy in 211 of 380 pairs (56%), '
    'little more than by chance; for the spread of the same features, in 84 of 188 (45%).',
    'Finding the other view is the task of the training itself. A network can solve it by something of no use, such as '
    'the color of the background (Robinson), which is why section 3 shows neighbors by color beside those of the '
    'network.',
    'Longer training may hurt dense tasks (DSE). With labels, in-domain k-NN and linear probes predict best (Marks), '
    'and linear accuracy need not follow fine-tuning (Newell). Whether pretraining pays on your images is what lewel '
    'worth answers.',
    'Thresholds of the verdicts are printed with each verdict. Those of few directions, not learning, shortcut, '
    'memorizing and unstable are recommended values that are still to be calibrated.',
)
SOURCES = (
    'Sources: RankMe arXiv 2210.02885 · IdEst 2606.03338 · Tsitsulin, Unsupervised Embedding Quality Evaluation, 2023 '
    '· Wang and Isola 2005.10242 · Wang and Liu 2012.09740 · DSE 2510.17299 · Robinson 2106.11230 · Marks 2407.12210 · '
    'Newell 2003.14323.'
)


class Picture:
    """A picture as the page shows it, encoded when the page is rendered.

    Args:
        rgb: (H, W, 3) uint8.
        alt: Text for those who do not see it.
        quality: Quality of WebP, 1 to 100.
    """

    def __init__(self, rgb: np.ndarray, alt: str, quality: int) -> None:
        self.rgb, self.alt, self.quality = rgb, alt, quality
        self.height, self.width = rgb.shape[:2]

    @property
    def source(self) -> str:
        """The picture as a data address."""
        buffer = io.BytesIO()
        Image.fromarray(self.rgb).save(buffer, 'WEBP', quality=self.quality, method=4)
        return 'data:image/webp;base64,' + base64.b64encode(buffer.getvalue()).decode()


@dataclass
class Section:
    """A section of the page: what the template shows, or the reason why it is left out."""

    key: str
    title: str
    content: dict[str, Any]
    number: int = 0
    reason: str = ''

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__['content'][name]
        except KeyError:
            raise AttributeError(name) from None


def render(runs: Sequence[RunData], pictures: Pictures | None, quality: int = 60) -> str:
    """Return the HTML of a report.

    Args:
        runs: The runs, at least one. Several are compared.
        pictures: Pictures of the only run; None for a report without.
        quality: Quality of the thumbnails as WebP, 1 to 100.
    """
    total = pictures.total if pictures else None
    judgements = [judge_run(run, pictures) for run in runs]
    sections = _one_run(runs[0], pictures, quality) if len(runs) == 1 else _several_runs(runs, judgements)
    for number, section in enumerate(sections, 1):
        section.number = number
    environment = _environment([folder for run in runs for folder in run.folders])
    package = files(__package__)
    template = environment.from_string((package / 'page.html.jinja').read_text(encoding='utf-8'))
    html = template.render(
        title=runs[0].label if len(runs) == 1 else f'{len(runs)} runs',
        css=Markup((package / 'page.css').read_text(encoding='utf-8')),
        version=__version__,
        date=now(),
        symbols=SYMBOLS,
        sections=sections,
        runs=[_run_view(run, judgement, total) for run, judgement in zip(runs, judgements)],
        commands=_commands(runs, judgements),
    )
    # Names of files may hold bytes that are no text, as may texts that others have written down.
    return html.strip().encode('utf-8', 'backslashreplace').decode('utf-8') + '\n'


def judge_run(run: RunData, pictures: Pictures | None) -> Judgement:
    """Return the verdicts on a run.

    Args:
        run: The run.
        pictures: Its pictures; None to judge by its curves alone.
    """
    total, of_pictures = (pictures.total, pictures.measures) if pictures else (None, {})
    return judge(run.measures(total, **of_pictures))


def _environment(folders: Sequence[str]) -> Environment:
    def shown(value: Any) -> Any:
        if isinstance(value, Markup) or not isinstance(value, str) or value.startswith('data:image/'):
            return value
        return public_text(value, folders)

    return Environment(autoescape=True, finalize=shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _run_view(run: RunData, judgement: Judgement, total: int | None) -> dict[str, Any]:
    return dict(
        label=run.label,
        verdicts=judgement.verdicts,
        unavailable=judgement.unavailable,
        remarks=_remarks(run),
        facts=_facts(run, total),
    )


def _remarks(run: RunData) -> list[str]:
    remarks = []
    if not run.finished:
        total = f' of about {run.total_steps:,}' if run.total_steps else ''
        remarks.append(f'Not finished: the log ends at step {run.steps:,}{total}. Repeat the command to go on.')
    broken = sum(run.count_lines(name) or 0 for name in ('broken_images.txt', 'broken_in_training.txt'))
    if broken:
        remarks.append(f'{broken:,} {"file" if broken == 1 else "files"} could not be read (section 5).')
    return remarks


def _commands(runs: Sequence[RunData], judgements: Sequence[Judgement]) -> list[str]:
    if len(runs) > 1 or judgements[0].main.level in (BAD, UNKNOWN):
        return []
    run = runs[0].name or runs[0].label
    beside = os.path.normpath(os.path.join(run, os.pardir, f'{runs[0].label}-detector'))
    name, detector = shlex.quote(run), shlex.quote(beside)
    commands = [f'lewel finetune detector {name} --data BOXES --out {detector}']
    kind = str(runs[0].setting('model', 'backbone', 'type')).rpartition('.')[2]
    if kind in _IN_TORCHVISION:
        commands.append(f'lewel export {name} --to torchvision')
    return commands


def _facts(run: RunData, num_images: int | None = None) -> list[tuple[str, str]]:
    total = run.total_steps
    num_images = num_images if run.num_images is None else run.num_images
    steps = f'{run.steps:,}' if run.finished or total is None else f'{run.steps:,} of about {total:,}'
    last = run.sessions[-1] if run.sessions else {}
    pairs = [
        ('method', run.method),
        ('backbone', run.backbone),
        ('images', None if num_images is None else f'{num_images:,}'),
        ('images per step', None if run.images_per_step is None else f'{run.images_per_step:,}'),
        ('steps', steps),
        ('state', 'finished' if run.finished else 'not finished'),
        ('time', None if run.seconds is None else _duration(run.seconds)),
        ('device', last.get('machine')),
        ('seed', run.seed),
        ('commit', last.get('commit')),
    ]
    return [(name, _text(value)) for name, value in pairs if value is not None]


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f'{hours} h {minutes:02d} min' if hours else f'{minutes} min' if minutes else f'{seconds:.0f} s'


def _text(value: Any) -> str:
    text = str(value) if not isinstance(value, float) else f'{value:g}'
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + '…'


def _panels(panels: Sequence[figures.Panel], runs: Sequence[RunData]) -> list[dict[str, Any]]:
    limits = dict(backbone=runs[0].rank_limit(), embeddings=runs[0].rank_limit(of_embeddings=True))
    curves = {run.label: run.curves for run in runs}
    return [view for view in (_panel_view(figures.draw_panel(panel, curves, limits)) for panel in panels) if view]


def _panel_view(panel: figures.Drawn | None) -> dict[str, Any] | None:
    return None if panel is None else {**panel._asdict(), 'svg': Markup(panel.svg)}


def _training(runs: Sequence[RunData]) -> Section:
    panels = _panels(figures.PANELS, runs)
    reason = '' if panels else 'nothing was logged yet'
    intro = figures.SHADED if len(runs) == 1 else 'One color and marker per run.'
    return Section('training', 'Did training go well?', dict(panels=panels, intro=intro, differences=[]), reason=reason)


def _one_run(run: RunData, pictures: Pictures | None, quality: int) -> list[Section]:
    return [
        Section('facts', 'Facts', {}),
        _training([run]),
        _learned(run, pictures, quality),
        _views(pictures, quality),
        _folder(run),
        _speed(run),
        _labels([run], pictures),
        _how(run),
        _limits(),
    ]


def _learned(run: RunData, pictures: Pictures | None, quality: int) -> Section:
    title = 'What did it learn?'
    if pictures is None:
        return Section('learned', title, {}, reason='the report was written without images')
    if 'neighbors' in pictures.missing:
        return Section('learned', title, {}, reason=pictures.missing['neighbors'])

    def shown(images: Sequence[Any]) -> list[Picture]:
        return [Picture(image.rgb, image.alt, quality) for image in images]

    rows = [
        dict(
            picture=Picture(*row.picture, quality),
            kinds=[
                (name, shown(images))
                for name, images in (
                    ('trained', row.trained),
                    ('by color only', row.by_color),
                    ('before', row.at_start),
                )
                if images
            ],
        )
        for row in pictures.neighbors
    ]
    names = {'start': 'the network before training', 'map': 'the map of features'}
    reasons = [
        f'{names.get(part, part)}: {reason}'
        for part, reason in pictures.missing.items()
        if part not in ('views', 'neighbors')
    ]
    drawings = [
        dict(title=drawing.title, **_picture_fields(Picture(drawing.rgb, drawing.alt, quality + 15)))
        for drawing in pictures.drawings
    ]
    content = dict(
        intro=_neighbor_text(pictures),
        neighbors=rows,
        spectrum=Markup(figures.draw_spectra(pictures.spectra)) if pictures.spectra else '',
        drawings=drawings,
        reasons=reasons,
    )
    return Section('learned', title, content)


def _picture_fields(picture: Picture) -> dict[str, Any]:
    return dict(alt=picture.alt, width=picture.width, height=picture.height, source=picture.source)


def _neighbor_text(pictures: Pictures) -> str:
    text = (
        f'Eight pictures and their nearest neighbors among {pictures.count:,} training images: by the features of the '
        'trained network, by color histograms only, and by the features of the network before training.'
    )
    overlap = pictures.measures.get('color_overlap')
    if overlap is not None:
        text += f' Of 10 neighbors, {overlap:.0%} are also neighbors by color.'
    share, chance = pictures.measures.get('folder_share'), pictures.measures.get('folder_chance')
    if share is not None and chance is not None:
        text += f' {share:.0%} come from the folder of their image; by chance, {chance:.0%} would.'
    return text


def _views(pictures: Pictures | None, quality: int) -> Section:
    title = 'What the network saw'
    if pictures is None:
        return Section('views', title, {}, reason='the report was written without images')
    if 'views' in pictures.missing:
        return Section('views', title, {}, reason=pictures.missing['views'])
    views = [[Picture(view.rgb, view.alt, quality) for view in row] for row in pictures.views]
    intro = (
        f'Views of the first {len(views)} images of the first epoch, made as in the training. The views of an image '
        'should differ, and still show what the image is about.'
    )
    return Section('views', title, dict(views=views, intro=intro))


def _folder(run: RunData) -> Section:
    counts = [
        ('images trained on', run.num_images),
        ('held out', run.planned('holdout')),
        ('broken (broken_images.txt)', run.count_lines('broken_images.txt')),
        ('copies (duplicates.csv)', _rows_of_csv(run.count_lines('duplicates.csv'))),
        ('small (small_images.txt)', run.count_lines('small_images.txt')),
        ('distinct scenes (distinct.txt)', run.count_lines('distinct.txt')),
    ]
    facts = [
        (name, f'{value:,}' if isinstance(value, int) else _text(value)) for name, value in counts if value is not None
    ]
    findings = [_finding(finding) for finding in run.check.get('findings') or ()]
    more = len(findings) - MOST_LISTED
    findings = findings[:MOST_LISTED] + ([f'and {more} more'] if more > 0 else [])
    reason = '' if facts or findings else 'the run has no check.json, plan.json or list of images'
    return Section('folder', 'The folder', dict(facts=facts, findings=findings), reason=reason)


def _rows_of_csv(lines: int | None) -> int | None:
    return None if lines is None else max(0, lines - 1)


def _finding(finding: Any) -> str:
    if isinstance(finding, Mapping):
        level = finding.get('level')
        return _text(f'{level}: {finding.get("text")}' if level else finding.get('text'))
    return _text(finding)


def _speed(run: RunData) -> Section:
    title = 'Speed'
    waits = train_waits(run.curves)
    if not waits:
        return Section('speed', title, {}, reason='no times were logged')
    times = _train_times(run)
    step = median(times)
    facts = [('seconds per step', f'{step:.3g}'), ('waiting for images', f'{median(waits):.0%}')]
    if run.images_per_step:
        facts.insert(0, ('images per second', f'{run.images_per_step / step:,.0f}'))
    if 'memory' in run.curves:
        facts.append(('memory of the GPU', gigabytes(max(run.curves['memory'][1]) * 2**20)))
    if run.sessions:
        facts.append(('interruptions', str(len(run.sessions) - 1)))
    logged = _logged_steps(run)
    steps = [i for i in run.curves['time'][0] if i in logged]
    shown = {name: _at(run.curves[name], steps) for name in ('time', 'data_time')}
    view = _panel_view(figures.draw_panel(figures.RATE_PANEL, {run.label: shown}))
    return Section('speed', title, dict(facts=facts, panels=[view] if view else []))


def _logged_steps(run: RunData) -> set[int]:
    """Return the steps whose times are those of training and not of a validation."""
    validated = {
        i for name, (steps, _) in run.curves.items() if name.startswith(('knn/', 'representation/')) for i in steps
    }
    return set(run.curves['time'][0]) & set(run.curves['data_time'][0]) - validated


def _train_times(run: RunData) -> list[float]:
    steps = _logged_steps(run)
    return [value for i, value in zip(*run.curves['time']) if i in steps]


def _at(curve: Curve, steps: Sequence[int]) -> Curve:
    values = dict(zip(*curve))
    points = [i for i in steps if i in values]
    return points, [values[i] for i in points]


def _labels(runs: Sequence[RunData], pictures: Pictures | None) -> Section:
    panels = _panels([figures.KNN_PANEL], runs)
    rows = (
        [[kind, f'{pictures.knn[kind]:.1f}'] for kind in (TRAINED, AT_START, PIXELS, BY_COLOR) if kind in pictures.knn]
        if pictures
        else []
    )
    rows += _baselines(runs[0].path) if len(runs) == 1 else []
    caption = f'Accuracy among {pictures.count:,} training images, each without itself' if pictures else 'Baselines'
    header, differences = _differences(runs, [(name, f'{label}, %') for name, label in figures.KNN_PANEL.names])
    content = dict(panels=panels, knn=rows, knn_caption=caption, differences_header=header, differences=differences)
    reason = '' if panels or rows else 'the run has no labels, and so no k-NN'
    return Section('labels', 'With labels', content, reason=reason)


def _baselines(path: Path) -> list[list[str]]:
    """Return the 20-NN accuracies of raw pixels and random weights that tools/analysis/baseline_knn.py has measured."""
    content = read_json(path / 'baseline_knn.json')
    rows = []
    for name in ('raw pixels', 'random initialization'):
        entry = content.get(name) if isinstance(content, dict) else None
        values = entry.get('knn/top1_k20') if isinstance(entry, dict) else None
        if values:
            rows.append([f'{name}, on the validation images', f'{sum(values) / len(values):.1f}'])
    return rows


def _how(run: RunData) -> Section:
    last = run.sessions[-1] if run.sessions else {}
    digest = run.image_list
    optimizer = run.setting('optim_wrapper', 'optimizer') or {}
    pairs = [
        ('command', last.get('command')),
        ('environment', last.get('machine')),
        ('commit', last.get('commit')),
        ('data digest', None if digest is None else digest[1]),
        ('optimizer', ', '.join(f'{name} {_text(value)}' for name, value in optimizer.items()) or None),
        ('images per step', run.images_per_step),
        ('epochs', run.setting('train_cfg', 'max_epochs')),
        ('workers', run.setting('train_dataloader', 'num_workers')),
        ('precision', run.setting('optim_wrapper', 'dtype')),
    ]
    facts = [(name, _text(value)) for name, value in pairs if value is not None]
    plan = [[name, _text(entry['value']), _text(entry.get('reason', ''))] for name, entry in run.plan.items()]
    reason = '' if facts or plan else 'the run has neither a config nor a plan'
    return Section('how', 'How it was run', dict(facts=facts, plan=plan), reason=reason)


def _limits() -> Section:
    return Section('limits', 'What these numbers can and cannot show', dict(paragraphs=LIMITS, sources=SOURCES))


def _several_runs(runs: Sequence[RunData], judgements: Sequence[Judgement]) -> list[Section]:
    facts = [dict(_facts(run)) for run in runs]
    names = list(dict.fromkeys(name for each in facts for name in each))
    same = [name for name in names if len({each.get(name) for each in facts}) == 1]
    names = [name for name in names if name not in same]
    rows = [
        [run.label, judgement.main.name, *(each.get(name, '–') for name in names)]
        for run, judgement, each in zip(runs, judgements, facts)
    ]
    content = dict(facts=[(name, facts[0][name]) for name in same], header=['run', 'verdict', *names], rows=rows)
    training = _training(runs)
    one_method = len({run.method for run in runs}) == 1
    header, differences = _differences(runs, _COMPARED if one_method else ())
    caption = 'End of training, mean difference ± standard deviation over seeds'
    training.content.update(differences_header=header, differences=differences, differences_caption=caption)
    return [
        Section('facts', 'Facts', content),
        training,
        _labels(runs, None),
        Section('single', 'Pictures, folder, speed', {}, reason='they are in the report of each run'),
        _limits(),
    ]


def _differences(runs: Sequence[RunData], scalars: Sequence[tuple[str, str]]) -> tuple[list[str], list[list[str]]]:
    """Return a table of the differences of each row from the first one, on the seeds that both have."""
    rows: dict[str, list[RunData]] = {}
    for run in runs:
        rows.setdefault(run.row, []).append(run)
    (first, *others) = rows.values()
    header = ['measure', *(f'{_row_name(row)} − {_row_name(first)}' for row in others)]
    table = []
    for name, label in scalars:
        cells = [_difference(_ends(row, name), _ends(first, name)) for row in others]
        if any(cell != '–' for cell in cells):
            table.append([label, *cells])
    return header, table


def _row_name(row: Sequence[RunData]) -> str:
    parents = {run.label.rpartition('/')[0] for run in row}
    return parents.pop() if len(parents) == 1 and '' not in parents else row[0].label


def _ends(row: Sequence[RunData], name: str) -> dict[int, float]:
    return {run.seed or 0: median(end_of(run.curves[name])) for run in row if name in run.curves}


def _difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> str:
    difference = paired_difference(values, baseline)
    if difference is None:
        return '–'
    spread = '' if difference.std is None else f' ± {difference.std:.2g}'
    seeds = f'{difference.same_sign} of {difference.n} seeds agree' if difference.n > 1 else '1 seed'
    return f'{difference.mean:+.3g}{spread} ({seeds})'
