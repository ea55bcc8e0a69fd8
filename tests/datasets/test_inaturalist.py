import json

import pytest

from lewel_plugins.datasets import INaturalist

pytestmark = pytest.mark.core


def write(path, annotations):
    content = dict(
        images=[
            dict(id=7, file_name='train_val2018/Aves/2/x.jpg'),
            dict(id=9, file_name='train_val2018/Fungi/5/y.jpg'),
        ],
        annotations=annotations,
        categories=[dict(id=5, name='fungus'), dict(id=2, name='bird')],
    )
    path.write_text(json.dumps(content))


def test_reads_its_json(tmp_path):
    write(tmp_path / 'train2018.json', [dict(image_id=9, category_id=5), dict(image_id=7, category_id=2)])
    dataset = INaturalist(str(tmp_path), 'train2018.json')
    assert dataset.metainfo['classes'] == ('bird', 'fungus')
    assert [dataset.get_data_info(i)['gt_label'] for i in range(2)] == [0, 1]
    assert dataset.get_data_info(0)['img_path'] == str(tmp_path / 'train_val2018' / 'Aves' / '2' / 'x.jpg')


def test_images_without_a_class_are_named(tmp_path):
    write(tmp_path / 'val2018.json', [dict(image_id=9, category_id=5)])
    with pytest.raises(ValueError, match='1 images of .* have no annotation: train_val2018/Aves/2/x.jpg'):
        INaturalist(str(tmp_path), 'val2018.json')
