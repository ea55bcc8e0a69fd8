import json
from collections.abc import Sequence
from pathlib import Path

from mmengine.dataset import BaseDataset

from lewel_plugins.registry import DATASETS


@DATASETS.register_module()
class INaturalist(BaseDataset):
    """iNaturalist's classification data (Van Horn et al. 2018) from its original json files.

    Args:
        data_root: Folder that the file names in the json are relative to.
        ann_file: ``train2018.json`` or ``val2018.json``, in ``data_root``: ``images`` with ``id`` and ``file_name``,
            ``annotations`` with ``image_id`` and ``category_id``, ``categories`` with ``id`` and ``name``.
        pipeline: Transforms, starting from ``img_path``.

    Raises:
        FileNotFoundError: If ``ann_file`` is missing.
        ValueError: If an image has no annotation.
    """

    METAINFO: dict = {}

    def __init__(self, data_root: str, ann_file: str, pipeline: Sequence = ()) -> None:
        super().__init__(data_root=data_root, ann_file=ann_file, pipeline=list(pipeline))

    def load_data_list(self) -> list[dict]:
        """Return one ``dict(img_path=..., gt_label=...)`` per image. Labels are positions of sorted category ids."""
        content = json.loads(Path(self.ann_file).read_text(encoding='utf-8'))
        categories = sorted(content['categories'], key=lambda category: category['id'])
        label_of = {category['id']: label for label, category in enumerate(categories)}
        self._metainfo['classes'] = tuple(str(category['name']) for category in categories)
        category_of = {entry['image_id']: entry['category_id'] for entry in content['annotations']}
        without = [image['file_name'] for image in content['images'] if image['id'] not in category_of]
        if without:
            raise ValueError(f'{len(without)} images of {self.ann_file} have no annotation: {", ".join(without[:5])}')
        return [
            {'img_path': str(Path(self.data_root) / image['file_name']), 'gt_label': label_of[category_of[image['id']]]}
            for image in content['images']
        ]
