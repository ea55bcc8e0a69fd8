import importlib.util
import json
import sys
import tarfile
import time
from pathlib import Path

import pytest

from lewel_plugins.image_files import pack
from lewel_plugins.image_files.packed import open_image
from lewel_plugins.image_files.tree import list_images

pytestmark = pytest.mark.core
TOOL = Path(__file__).parents[2] / 'tools' / 'data' / 'pack_images.py'
spec = importlib.util.spec_from_file_location('pack_images', TOOL)
pack_images = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack_images)


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    """Return exit status, output and errors."""
    try:
        pack_images.main([str(argument) for argument in arguments])
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    return status, *capsys.readouterr()


@pytest.fixture
def photos(tmp_path):
    """Ten files, which packing does not decode, in two folders."""
    for i in range(10):
        path = tmp_path / 'photos' / 'ab'[i % 2] / f'{i}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([i]) * (1000 + i))
    (tmp_path / 'photos' / 'a' / 'loop').symlink_to(tmp_path / 'photos')
    (tmp_path / 'photos' / 'a' / '.hidden.jpg').touch()
    (tmp_path / 'photos' / 'classes.txt').write_text('a\nb\n')
    return tmp_path / 'photos'


def contents(shards: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in shards.iterdir()}


def packed(shards: Path) -> list[bytes]:
    images = []
    for path in list_images(str(shards)):
        with open_image(path) as file:
            images.append(file.readall())
    return images


def test_packs_labels_continues_and_names_what_cannot_be_read(photos, tmp_path, capsys, monkeypatch):
    shards = tmp_path / 'shards'
    arguments = photos, shards, '--shard-size', '9000', '--labels', photos, '--workers', 2
    status, output, errors = run(capsys, *arguments)
    assert (status, errors) == (0, '')
    assert '10/10' in output and f'10 images in 4 shards in {shards} after' in output
    assert packed(shards) == [bytes([i]) * (1000 + i) for i in (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)]
    with tarfile.open(shards / 'images-000003.tar') as tar:
        assert tar.getnames() == ['b/9.jpg', 'b/9.cls'] and tar.extractfile('b/9.cls').read() == b'1'
    assert json.loads((shards / 'image_shards.json').read_text())['classes'] == ['a', 'b']

    # A run that was killed has left shards without an index, and a partial file.
    whole = contents(shards)
    for name in ('image_shards.json', 'images-000001.index', 'images-000002.tar'):
        (shards / name).unlink()
    (shards / '.images-000002.tar.123.partial').touch()
    before = (shards / 'images-000000.tar').stat().st_mtime_ns
    assert run(capsys, *arguments)[0] == 0
    assert contents(shards) == whole and (shards / 'images-000000.tar').stat().st_mtime_ns == before

    def unreadable(path: str):
        if path.endswith('4.jpg'):
            raise PermissionError(13, 'Permission denied', path)
        return open_image(path)

    (shards / 'images-000000.tar').unlink()
    with monkeypatch.context() as patch:
        patch.setattr(pack, 'open_image', unreadable)
        status, output, errors = run(capsys, *arguments)
    assert status == 1 and '9 images in 4 shards' in output
    assert errors.strip() == f'error: 1 files are broken and left out, see {shards / "broken_images.txt"}'
    assert (shards / 'broken_images.txt').read_text() == 'a/4.jpg: cannot be read (Permission denied)\n'
    assert len(packed(shards)) == 9
    assert run(capsys, *arguments)[0] == 0 and contents(shards) == whole


def test_a_disk_that_does_not_keep_what_it_gets(photos, tmp_path, capsys, monkeypatch):
    forget = pack._forget

    def flip(shard: Path) -> None:
        forget(shard)
        content = bytearray(shard.read_bytes())
        content[600] ^= 1
        shard.write_bytes(content)

    monkeypatch.setattr(pack, '_forget', flip)
    status, _, errors = run(capsys, photos, tmp_path / 'shards', '--workers', 1)
    assert status == 1 and 'does not hold what was written to it, at a/0.jpg' in errors
    assert sorted(path.name for path in (tmp_path / 'shards').iterdir()) == ['.lock', 'pack_images.json']


def test_refusals(photos, tmp_path, capsys):
    def refused(*arguments: object) -> str:
        status, _, errors = run(capsys, *arguments)
        assert status in (1, 2)
        return errors.strip().splitlines()[-1]

    shards, mine = tmp_path / 'shards', tmp_path / 'mine'
    assert 'has no image of' in refused(photos, shards, '--labels', labels(tmp_path / 'others'))
    assert '1.5G' in refused(photos, shards, '--shard-size', '1.5G')
    assert 'must lie outside' in refused(photos, photos / 'shards')
    assert not shards.exists()
    assert run(capsys, photos, shards)[0] == 0
    (photos / 'b' / '99.jpg').write_bytes(b'new')
    message = refused(photos, shards)
    assert '10 images with digest' in message and '11 images with digest' in message
    assert 'choose another folder' in refused(photos, shards, '--shard-size', '1M')
    mine.mkdir()
    (mine / 'work.txt').touch()
    assert refused(photos, mine) == f'error: {mine} is not empty and has no pack_images.json of an earlier run'
    assert [path.name for path in mine.iterdir()] == ['work.txt']


def test_another_process_that_packs_into_the_folder_is_left_alone(photos, tmp_path, capsys, monkeypatch):
    shards, replies = tmp_path / 'shards', []
    write_shard = pack_images.write_shard

    def meanwhile(folder: Path, number: int, *rest: object) -> list[str]:
        monkeypatch.setattr(pack_images, 'write_shard', write_shard)
        (shards / '.images-000000.tar.1.partial').touch()  # the first process writes it
        replies.append(run(capsys, photos, shards))
        assert (shards / '.images-000000.tar.1.partial').exists()
        return write_shard(folder, number, *rest)

    monkeypatch.setattr(pack_images, 'write_shard', meanwhile)
    assert run(capsys, photos, shards)[0] == 0
    message = f'error: another process writes to {shards}; wait for its end\n'
    assert replies == [(1, replies[0][1], message)]


def labels(folder: Path) -> Path:
    """Return class folders of other images."""
    for name in 'ab':
        (folder / name).mkdir(parents=True)
        (folder / name / '1.jpg').touch()
    return folder


def test_a_full_disk_leaves_no_shard_that_looks_whole(photos, tmp_path, capsys, monkeypatch):
    shards = tmp_path / 'shards'
    assert run(capsys, photos, shards)[0] == 0
    (shards / 'images-000000.tar').unlink()

    def fail(path: Path, content: bytes) -> None:
        raise OSError(28, 'No space left on device', str(path))

    monkeypatch.setattr(pack, 'write_bytes', fail)
    status, _, errors = run(capsys, photos, shards)
    assert status == 1 and 'No space left on device' in errors and 'Traceback' not in errors
    assert sorted(path.name for path in shards.iterdir()) == ['.lock', 'images-000000.tar', 'pack_images.json']


def test_ctrl_c_stops_all_threads_and_leaves_no_partial_file(photos, tmp_path, monkeypatch):
    add, added = pack._add, []

    def stop(tar, name, *rest):
        if name == 'a/2.jpg':
            raise KeyboardInterrupt
        time.sleep(0.02)
        added.append(name)
        return add(tar, name, *rest)

    monkeypatch.setattr(pack, '_add', stop)
    with pytest.raises(KeyboardInterrupt):
        pack_images.main([str(photos), str(tmp_path / 'shards'), '--shard-size', '8000', '--workers', '2'])
    assert 'b/1.jpg' in added and 'b/9.jpg' not in added
    assert sorted(path.name for path in (tmp_path / 'shards').iterdir()) == ['.lock', 'pack_images.json']
