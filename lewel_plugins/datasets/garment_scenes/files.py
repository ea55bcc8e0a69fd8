"""Write garment scenes to a folder: a tree of classes (``single``), or COCO and VOC data (``multi``)."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import Progress

from . import coco, voc
from .scene_config import SPLITS, SceneConfig
from .scene_renderer import Scene, SceneRenderer
from .sources import CLASSES, load_garments, load_photographs

VERSION = 1  # must rise whenever the scenes or the files change

_worker: tuple[SceneRenderer, Path] | None = None


def make_scenes(config: SceneConfig, garments: str | Path, out: str | Path, workers: int = 1) -> bool:
    """Write all scenes of ``config`` to the folder ``out``.

    The folder gets its name only once it is complete. ``single`` writes ``{train,val}/<class>/<number>.jpg``, and masks
    under the same names in ``{train,val}_masks/`` (PNG, 0 or 255). ``multi`` writes ``VOC2007/`` and
    ``annotations/instances_{train,val}.json``. Both write ``meta.json``.

    Args:
        config: Appearance and number of the scenes.
        garments: Folder with Fashion-MNIST's test files.
        out: Folder to create.
        workers: Number of processes.

    Returns:
        False if ``out`` already holds exactly these scenes, True if they were made.

    Raises:
        FileExistsError: If ``out`` holds something else.
        FileNotFoundError: If the garments do not exist.
        ValueError: If ``workers`` is below 1.
    """
    out = Path(out)
    if workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}')
    images, labels = load_garments(garments)
    photographs = load_photographs()
    meta = _describe(config, list(photographs))
    if out.exists():
        _check_same(out, meta)
        return False

    renderer = SceneRenderer(config, images, labels, list(photographs.values()))
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f'.{out.name}.{os.getpid()}.unfinished')
    try:
        _write_scenes(renderer, unfinished, workers, meta)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


def load_renderer(root: str | Path, garments: str | Path) -> SceneRenderer:
    """Return the renderer that draws the scenes of a folder again, with all that the files do not hold.

    Args:
        root: Folder that :func:`make_scenes` has written.
        garments: Folder with Fashion-MNIST's test files.

    Raises:
        FileExistsError: If ``root`` holds other scenes than this version and the installed photographs give.
        FileNotFoundError: If ``root`` has no ``meta.json``, or the garments do not exist.
    """
    root = Path(root)
    if not (root / 'meta.json').is_file():
        raise FileNotFoundError(f'{root} holds no garment scenes: it has no meta.json')
    arguments = json.loads((root / 'meta.json').read_text())['arguments']
    config = SceneConfig(**{**arguments, 'scale': tuple(arguments['scale'])})
    images, labels = load_garments(garments)
    photographs = load_photographs()
    _check_same(root, _describe(config, list(photographs)))
    return SceneRenderer(config, images, labels, list(photographs.values()))


def _describe(config: SceneConfig, photographs: list[str]) -> dict[str, Any]:
    return {
        'version': VERSION,
        'arguments': {**asdict(config), 'scale': list(config.scale)},
        'classes': list(CLASSES),
        'photographs': photographs,
    }


def _check_same(out: Path, meta: dict[str, Any]) -> None:
    try:
        existing = json.loads((out / 'meta.json').read_text())
    except (OSError, ValueError):
        raise FileExistsError(
            f'{out} exists but holds no garment scenes (no meta.json); choose another folder'
        ) from None
    differences = [key for key in meta if key != 'arguments' and existing.get(key) != meta[key]]
    arguments = existing.get('arguments', {})
    differences += [
        f'{name} ({arguments.get(name)} there, {value} requested)'
        for name, value in meta['arguments'].items()
        if arguments.get(name) != value
    ]
    if differences:
        raise FileExistsError(
            f'{out} holds other garment scenes, which differ in: {", ".join(differences)}. '
            'Remove that folder or choose another one'
        )


def _write_scenes(renderer: SceneRenderer, root: Path, workers: int, meta: dict[str, Any]) -> None:
    records = _write_images(renderer, root, workers)
    if renderer.config.kind == 'multi':
        coco.write_annotations(root, renderer.config, records)
        voc.write_lists(root, records)
    counts = {split: _count_classes(records[split]) for split in SPLITS}
    (root / 'meta.json').write_text(json.dumps({**meta, 'counts': counts}, indent=2) + '\n')


def _write_images(renderer: SceneRenderer, root: Path, workers: int) -> dict[str, list[dict[str, Any]]]:
    """Write the image files and return for every split the records of its scenes, in order."""
    config = renderer.config
    for folder in _single_folders() if config.kind == 'single' else ['annotations', *voc.FOLDERS]:
        (root / folder).mkdir(parents=True)
    tasks = [(split, index) for split in SPLITS for index in range(config.num_scenes(split))]
    records: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    with _map(workers, renderer, root) as mapped, Progress(transient=True) as progress:
        bar = progress.add_task(f'{config.kind} garment scenes', total=len(tasks))
        for (split, _), record in zip(tasks, mapped(tasks)):
            records[split].append(record)
            progress.advance(bar)
    return records


@contextmanager
def _map(workers: int, renderer: SceneRenderer, root: Path) -> Iterator[Any]:
    """Yield an ordered lazy ``map`` of :func:`_write_scene` over this process or over several."""
    if workers == 1:
        _start_worker(renderer, root)
        yield lambda tasks: map(_write_scene, tasks)
        return
    with multiprocessing.Pool(workers, _start_worker, (renderer, root)) as pool:
        yield lambda tasks: pool.imap(_write_scene, tasks, chunksize=64)


def _start_worker(renderer: SceneRenderer, root: Path) -> None:
    global _worker
    cv2.setNumThreads(1)
    _worker = (renderer, root)


def _write_scene(task: tuple[str, int]) -> dict[str, Any]:
    assert _worker is not None
    renderer, root = _worker
    split, index = task
    config = renderer.config
    scene = renderer.render(split, index)
    if config.kind == 'single':
        return _write_single(scene, root, split, index, config.quality)
    number = index + (config.num_train if split == 'val' else 0)
    return _write_multi(scene, root, f'{number:06d}', config.quality)


def _single_folders() -> list[str]:
    return [f'{split}{suffix}/{name}' for split in SPLITS for suffix in ('', '_masks') for name in CLASSES]


def _write_single(scene: Scene, root: Path, split: str, index: int, quality: int) -> dict[str, Any]:
    name = f'{CLASSES[scene.labels[0]]}/{index:05d}'
    _write_jpeg(root / split / f'{name}.jpg', scene.image, quality)
    _write_image(root / f'{split}_masks' / f'{name}.png', '.png', scene.masks[0].astype(np.uint8) * 255, [])
    return {'labels': scene.labels}


def _write_multi(scene: Scene, root: Path, name: str, quality: int) -> dict[str, Any]:
    """Write the files of one scene, and return what COCO's json records of it."""
    boxes = [cv2.boundingRect(mask.astype(np.uint8)) for mask in scene.masks]
    _write_jpeg(root / voc.ROOT / 'JPEGImages' / f'{name}.jpg', scene.image, quality)
    voc.write_annotations(root, name, scene, boxes)
    return {
        'name': name,
        'labels': scene.labels,
        'boxes': [list(box) for box in boxes],
        'areas': [int(mask.sum()) for mask in scene.masks],
        'segmentations': [coco.encode_rle(mask) for mask in scene.masks],
    }


def _write_jpeg(path: Path, image: np.ndarray, quality: int) -> None:
    _write_image(path, '.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])


def _write_image(path: Path, suffix: str, image: np.ndarray, options: list[int]) -> None:
    is_encoded, data = cv2.imencode(suffix, image, options)
    if not is_encoded:
        raise OSError(f'{path} could not be encoded')
    path.write_bytes(data.tobytes())


def _count_classes(records: list[dict[str, Any]]) -> dict[str, int]:
    labels = [label for record in records for label in record['labels']]
    return {name: labels.count(i) for i, name in enumerate(CLASSES)}
