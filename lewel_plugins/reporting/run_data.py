"""What a folder of a training holds, finished or not: curves, config, plan, check, sessions."""

import gzip
import hashlib
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lewel_plugins.checkpoints.configs import read_config
from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json
from lewel_plugins.planning.findings import show
from lewel_plugins.running.work_dir import find_last_checkpoint
from lewel_plugins.visualization.curves import Curve, read_curves

from .verdicts import Measures

_MONITORED = 2048  # images that the monitors measure at most
# Entries of a config in which two runs with different seeds may differ.
_NOT_OF_THE_ROW = ('work_dir', 'randomness', 'resume', 'load_from', 'launcher')


@dataclass(frozen=True)
class RunData:
    """A folder of a training.

    Args:
        path: The folder.
        label: Its name in the report, without the folders above.
        name: The folder as the user named it, for commands; the label by default.
        curves: Scalars by name.
        config: The config of its last start; None if there is none.
        plan: Value and reason of each setting, by name; empty without ``plan.json``.
        check: Content of ``check.json``; empty without.
        sessions: One record per start.
        checkpoint: The last checkpoint; None before the first.
    """

    path: Path
    label: str
    curves: Mapping[str, Curve]
    config: Mapping[str, Any] | None = None
    plan: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    check: Mapping[str, Any] = field(default_factory=dict)
    sessions: Sequence[Mapping[str, Any]] = ()
    checkpoint: Path | None = None
    name: str = ''

    def planned(self, name: str) -> Any:
        """Return the value of a setting of the plan; None if there is none."""
        return self.plan.get(name, {}).get('value')

    def setting(self, *names: str | int) -> Any:
        """Return an entry of the config by the names that lead to it; None if there is none."""
        value: Any = self.config
        for name in names:
            if isinstance(value, Mapping):
                value = value.get(name)
            elif isinstance(value, (list, tuple)) and isinstance(name, int) and name < len(value):
                value = value[name]
            else:
                return None
        return value

    @property
    def method(self) -> str:
        """Name of the method."""
        kind = self.setting('model', 'type')
        return str(self.planned('method') or (str(kind).rpartition('.')[2] if kind else 'unknown'))

    @property
    def backbone(self) -> str:
        """Name of the backbone."""
        depth, kind = self.setting('model', 'backbone', 'depth'), self.setting('model', 'backbone', 'type')
        name = f'{str(kind).rpartition(".")[2]}{"" if depth is None else f"-{depth}"}' if kind else 'unknown'
        return str(self.planned('backbone') or name)

    @property
    def seed(self) -> int | None:
        """Seed of the run; None if unknown."""
        return self.setting('randomness', 'seed')

    @property
    def steps(self) -> int:
        """Steps that are done, as far as the log goes."""
        return max((steps[-1] for steps, _ in self.curves.values() if steps), default=0)

    @property
    def finished(self) -> bool:
        """Whether the last checkpoint is that of the end."""
        epochs, iterations = self.setting('train_cfg', 'max_epochs'), self.setting('train_cfg', 'max_iters')
        name = self.checkpoint.stem if self.checkpoint else ''
        return name in (f'epoch_{epochs}', f'iter_{iterations}')

    @property
    def total_steps(self) -> int | None:
        """Steps of the whole training, estimated from the epochs done unless it is finished; None if unknown."""
        iterations, epochs = self.setting('train_cfg', 'max_iters'), self.setting('train_cfg', 'max_epochs')
        if isinstance(iterations, int):
            return iterations
        if self.finished:
            return self.steps
        steps, numbers = self.curves.get('epoch', ([], []))
        if not isinstance(epochs, int) or not steps:
            return None
        # The last logged value of epoch e, the first being 1, is at a step between (e − 1) and e epochs.
        points = [(step, number) for step, number in zip(steps, numbers) if math.isfinite(number)]
        starts = {int(number): step for step, number in reversed(points)}
        full = [starts[number] / (number - 1) for number in starts if number > 1]
        return max(self.steps, round(epochs * (min(full) if full else steps[-1])))

    @property
    def images_per_step(self) -> int | None:
        """Images per optimizer step on all ranks together; None if unknown."""
        planned, batch = self.planned('batch_size'), self.setting('train_dataloader', 'batch_size')
        if isinstance(planned, int):
            return planned
        if self.setting('launcher') not in (None, 'none'):  # the number of ranks is not recorded
            return None
        return batch * (self.setting('optim_wrapper', 'accumulative_counts') or 1) if isinstance(batch, int) else None

    @property
    def images_at_once(self) -> int | None:
        """Images per forward pass on all ranks together; None if unknown."""
        images, parts = self.images_per_step, self.setting('optim_wrapper', 'accumulative_counts') or 1
        return None if images is None or not isinstance(parts, int) else images // parts

    @property
    def num_images(self) -> int | None:
        """Images trained on; None if unknown."""
        images = self.planned('images')
        if isinstance(images, int):
            return images - (self.planned('holdout') or 0)
        return self.image_list[0] if self.image_list else None

    @property
    def image_list(self) -> tuple[int, str] | None:
        """Number of images and digest of ``images.txt.gz``; None without it."""
        try:
            with gzip.open(self.path / 'images.txt.gz') as file:
                content = file.read()
        except (OSError, EOFError):
            return None
        # The last column is the time of the last change, which a copy of the images does not keep.
        lines = [line.rpartition(b'\t')[0] for line in content.splitlines()]
        return len(lines), hashlib.sha256(b'\n'.join(lines)).hexdigest()[:12]

    @property
    def seconds(self) -> float | None:
        """Seconds of all sessions; None if unknown."""
        values = [session['seconds'] for session in self.sessions if isinstance(session.get('seconds'), (int, float))]
        return sum(values) if values else None

    @property
    def row(self) -> str:
        """Digest of what runs of several seeds have in common."""
        entries = {name: value for name, value in (self.config or {}).items() if name not in _NOT_OF_THE_ROW}
        return hashlib.sha256(repr(sorted(entries.items())).encode()).hexdigest() if entries else str(self.path)

    @property
    def validated(self) -> int | None:
        """Images of a validation; None if unknown."""
        dataset = self.setting('val_dataloader', 'dataset') or {}
        while 'list_file' not in dataset and 'dataset' in dataset:
            dataset = dataset['dataset']
        name = dataset.get('list_file')
        return self.count_lines(re.split(r'[\\/]', name)[-1]) if isinstance(name, str) else None

    def rank_limit(self, *, of_embeddings: bool = False) -> int | None:
        """Return the largest possible RankMe of the backbone's features, or of embeddings; None if unknown."""
        setting = self.setting('model', 'neck')
        neck = setting if isinstance(setting, Mapping) else {}
        channels = neck.get('out_channels' if of_embeddings else 'in_channels')
        if not isinstance(channels, int):
            return None
        images = self.images_at_once if of_embeddings else self.validated
        if of_embeddings and images is None:
            return None
        projectors = neck.get('num_projectors', 1) if of_embeddings else 1
        return min(_MONITORED, images or _MONITORED, channels * projectors)

    def measures(self, total: int | None = None, **of_pictures: float | None) -> Measures:
        """Return what is known of the training.

        Args:
            total: Images trained on, if the folder of the run does not record it.
            **of_pictures: Measures of its pictures.
        """
        return Measures(
            curves=self.curves,
            total_steps=self.total_steps,
            num_images=total if self.num_images is None else self.num_images,
            num_watched=self.count_lines('monitored.txt'),
            batch=self.images_at_once,
            rank_limit=self.rank_limit(),
            workers=self.setting('train_dataloader', 'num_workers'),
            on_gpu='memory' in self.curves,
            **of_pictures,  # type: ignore[arg-type]
        )

    @property
    def folders(self) -> list[str]:
        """Folders of this machine that texts about the run may name."""
        roots: list[str] = []

        def search(value: Any) -> None:
            if isinstance(value, Mapping):
                roots.extend(str(value[name]) for name in ('data_root', 'img_path', 'work_dir') if value.get(name))
                for part in value.values():
                    search(part)
            elif isinstance(value, (list, tuple)):
                for part in value:
                    search(part)

        search(self.config)
        return [str(self.path), str(self.path.parent), *roots]

    def count_lines(self, name: str) -> int | None:
        """Return the number of lines of a file of the folder that are not empty; None without the file."""
        try:
            text = (self.path / name).read_text(encoding='utf-8', errors='replace')
        except OSError:
            return None
        return sum(bool(line.strip()) for line in text.splitlines())


def read_runs(paths: Sequence[str | Path]) -> list[RunData]:
    """Read the folders of trainings.

    Args:
        paths: The folders, at least one.

    Raises:
        SetupError: A folder does not exist, is named twice, or is not that of a training.
    """
    folders = [Path(path) for path in paths]
    for path in folders:
        if not path.is_dir():
            raise SetupError(f'{show(path)} {"is not a folder" if path.exists() else "does not exist"}')
        if not any(path.glob('*/vis_data')):
            raise SetupError(f'{show(path)} is not the folder of a training: it has no <start>/vis_data')
    resolved = [path.resolve() for path in folders]
    twice = [path for i, path in enumerate(resolved) if path in resolved[:i]]
    if twice:
        raise SetupError(f'{twice[0].name} is named twice')
    above = Path(os.path.commonpath([path.parent for path in resolved]))
    labels = [show(path.relative_to(above).as_posix()) for path in resolved]
    return [_read_run(path, label, _name(folder, label)) for path, label, folder in zip(resolved, labels, folders)]


def _name(folder: Path, label: str) -> str:
    """Return a folder as a command of the report names it: without the folders above the current one."""
    if folder.is_absolute():
        return os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else label
    return str(folder)


def _read_run(path: Path, label: str, name: str) -> RunData:
    try:
        curves = read_curves(path)
    except FileNotFoundError:  # stopped before the first log
        curves = {}
    sessions, check = read_json(path / 'sessions.json'), read_json(path / 'check.json')
    return RunData(
        path=path,
        label=label,
        curves=curves,
        config=_read_config(path),
        plan=_settings(read_json(path / 'plan.json')),
        check=check if isinstance(check, dict) and isinstance(check.get('findings', []), list) else {},
        sessions=[session for session in sessions if isinstance(session, dict)] if isinstance(sessions, list) else [],
        checkpoint=find_last_checkpoint(path),
        name=name,
    )


def _read_config(path: Path) -> dict[str, Any] | None:
    """Return the config of the last start, read as data; None without one that is complete."""
    for file in [path / 'config.py', *sorted(path.glob('*/vis_data/config.py'), reverse=True)]:
        try:
            return read_config(dict(meta=dict(cfg=file.read_text(encoding='utf-8'))), file).to_dict()
        except (OSError, UnicodeDecodeError, SetupError):  # there is none, or a kill cut it off
            continue
    return None


def _settings(plan: Any) -> dict[str, dict[str, Any]]:
    """Return value and reason of each setting of a ``plan.json``."""
    for part in ('plan', 'settings'):  # beside the request, in a run of lewel pretrain
        if isinstance(plan, dict) and isinstance(plan.get(part), dict) and 'value' not in plan[part]:
            plan = plan[part]
    if not isinstance(plan, dict):
        return {}
    return {name: entry for name, entry in plan.items() if isinstance(entry, dict) and 'value' in entry}


_PART = r'[^\s\\/:"\'<>|,;()\[\]{}=]+'
_ROOT = r'(?:~|[A-Za-z]:)?[\\/]'
_ABSOLUTE = re.compile(rf'(?<![\w.…/\\~-]){_ROOT}{_PART}(?:[\\/]{_PART})+[\\/]?')
_WHOLE = re.compile(rf'{_ROOT}[^:;,\'"()]+')
_QUOTED = re.compile(rf'(?P<quote>[\'"])(?P<path>{_ROOT}[^\'"]+)(?P=quote)')


def public_text(text: str, folders: Sequence[Path | str] = ()) -> str:
    """Shorten the absolute paths in a text to their last component, because a report may be sent on.

    Args:
        text: The text.
        folders: Folders whose paths may hold spaces. The home folder and the current one are two of them. Other paths
            with spaces are recognized in quotes, or if they are the whole text.
    """
    if _WHOLE.fullmatch(text):
        return _last(text)
    text = _QUOTED.sub(lambda match: f'{match["quote"]}{_last(match["path"])}{match["quote"]}', text)
    for folder in sorted({str(folder) for folder in [*folders, Path.home(), Path.cwd()]}, key=len, reverse=True):
        if re.match(rf'{_ROOT}.', folder):
            rest = rf'(?:[\\/]{_PART})*[\\/]?(?![\w.-])'
            text = re.sub(re.escape(folder) + rest, lambda match: _last(match[0]), text)
    return _ABSOLUTE.sub(lambda match: _last(match[0]), text)


def _last(path: str) -> str:
    return '…/' + re.split(r'[\\/]', path.rstrip('\\/'))[-1]
