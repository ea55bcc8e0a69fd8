"""Recognize the format of labels."""

import os

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.findings import show
from lewel_plugins.planning.listing import did_you_mean

from .coco import find_json, read_coco
from .labels import Labels
from .masks import read_masks
from .voc import read_voc, voc_folder

_NEEDS = {
    'detector': 'boxes: COCO json, or a VOC folder with Annotations and JPEGImages',
    'segmenter': 'masks: a folder with images/ and masks/',
}


def read_labels(task: str, path: str) -> Labels:
    """Read labels in any of the formats.

    Args:
        task: ``detector`` or ``segmenter``.
        path: File or folder.

    Raises:
        SetupError: They are missing, of no known format, for another task, or wrong; the message names what is.
    """
    if not os.path.exists(path):
        raise SetupError(f'{show(path)} does not exist{did_you_mean(path)}')
    has_masks = all(os.path.isdir(os.path.join(path, name)) for name in ('images', 'masks'))
    if task == 'segmenter':
        if not has_masks:
            raise SetupError(f'{show(path)} has no folders images and masks; a segmenter needs {_NEEDS[task]}')
        return read_masks(path)
    if os.path.isfile(path):
        if not path.lower().endswith('.json'):
            raise SetupError(f'{show(path)} is neither a json file nor a folder; a detector needs {_NEEDS[task]}')
        return read_coco(path)
    voc = voc_folder(path)
    if voc != path and find_json(path):  # a folder may have both; COCO's can have outlines
        return read_coco(path)
    if voc is not None:
        return read_voc(voc)
    what = 'masks, for a segmenter' if has_masks else 'no labels'
    raise SetupError(f'{show(path)} has {what}; a detector needs {_NEEDS[task]}')
