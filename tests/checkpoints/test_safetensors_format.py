import json

import pytest
import torch

from lewel_plugins.checkpoints import encode_safetensors, read_safetensors
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core

TENSORS = {
    'half': torch.arange(12).view(3, 4).half(),
    'scalar': torch.tensor(5),
    'empty': torch.zeros(0, 3),
    'bool': torch.tensor([True, False, True]),
    'transposed': torch.arange(36.0).view(2, 2, 3, 3).permute(3, 2, 1, 0),
    'brain': torch.arange(5).bfloat16(),
    'double': torch.tensor([0.1], dtype=torch.float64),
}


def same(a: dict, b: dict) -> bool:
    """Return whether names, types, shapes and values are equal."""
    return a.keys() == b.keys() and all(a[n].dtype == b[n].dtype and torch.equal(a[n], b[n]) for n in a)


def write(path, header, data=b''):
    """Write a file with any header; return its path."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, 'little') + text + data)
    return path


def test_tensors_and_metadata_come_back(tmp_path):
    file = tmp_path / 'a.safetensors'
    file.write_bytes(encode_safetensors(TENSORS, {'method': '"é"', 'epoch': '3'}))
    tensors, metadata = read_safetensors(file)
    assert same(tensors, TENSORS) and metadata == {'method': '"é"', 'epoch': '3'}
    tensors['half'][0, 0] = 7  # they are no views of something that cannot be written


def test_order_makes_no_difference_to_the_bytes():
    backward = dict(reversed(TENSORS.items()))
    assert encode_safetensors(TENSORS, dict(a='1', b='2')) == encode_safetensors(backward, dict(b='2', a='1'))


def test_the_package_of_the_format_reads_and_writes_the_same(tmp_path):
    package = pytest.importorskip('safetensors.torch')  # missing in the environment of the classic line
    file = tmp_path / 'a.safetensors'
    file.write_bytes(encode_safetensors(TENSORS, dict(a='é')))
    assert same(package.load_file(file), TENSORS)
    package.save_file({n: t.contiguous() for n, t in TENSORS.items()}, file, metadata=dict(a='é'))
    tensors, metadata = read_safetensors(file)
    assert same(tensors, TENSORS) and metadata == dict(a='é')
    assert file.read_bytes() == encode_safetensors(TENSORS, dict(a='é'))


def test_unknown_types_are_refused():
    with pytest.raises(ValueError, match=r'x is of type torch.complex64; known are torch.bool, '):
        encode_safetensors(dict(x=torch.zeros(1, dtype=torch.complex64)), {})


def test_every_cut_of_a_file_is_one_line(tmp_path):
    content = encode_safetensors(dict(a=torch.ones(2, 3), b=torch.ones(4).half()), dict(x='1'))
    for length in range(len(content)):
        file = tmp_path / 'cut.safetensors'
        file.write_bytes(content[:length])
        with pytest.raises(SetupError, match='cut.safetensors cannot be read, it is damaged or no') as error:
            read_safetensors(file)
        assert '\n' not in str(error.value)


A = dict(dtype='U8', shape=[2], data_offsets=[0, 2])
HOSTILE = {
    'no json': (b'{"a": ', b''),
    'no text': (b'\xff\xfe', b''),
    'deep': (b'[' * 100_000, b''),
    'list': ([A], b'ab'),
    'entry': (dict(a=[1]), b'ab'),
    'entry of text': (dict(a='x'), b'ab'),
    'no type': (dict(a=dict(shape=[2], data_offsets=[0, 2])), b'ab'),
    'unknown type': (dict(a={**A, 'dtype': 'F4'}), b'ab'),
    'type of a list': (dict(a={**A, 'dtype': ['U8']}), b'ab'),
    'shape too large': (dict(a={**A, 'shape': [3]}), b'ab'),
    'negative shape': (dict(a={**A, 'shape': [-1, -2]}), b'ab'),
    'shape of truths': (dict(a={**A, 'shape': [True, 2]}), b'ab'),
    'shape of a number': (dict(a={**A, 'shape': 2}), b'ab'),
    'endless shape': (dict(a={**A, 'shape': [0, 10**30], 'data_offsets': [0, 0]}), b''),
    'three offsets': (dict(a={**A, 'data_offsets': [0, 1, 2]}), b'ab'),
    'offsets of text': (dict(a={**A, 'data_offsets': ['0', '2']}), b'ab'),
    'offsets of both': (dict(a={**A, 'data_offsets': ['0', '2']}, b=A), b'ab'),
    'backward': (dict(a={**A, 'data_offsets': [2, 0]}), b'ab'),
    'outside': (dict(a={**A, 'data_offsets': [1, 3]}), b'ab'),
    'overlap': (dict(a=A, b={**A, 'data_offsets': [1, 3]}), b'abc'),
    'gap': (dict(a=A, b={**A, 'data_offsets': [3, 5]}), b'abcde'),
    'rest': (dict(a=A), b'abc'),
    'names twice': (b'{"a": %b, "a": %b}' % ((json.dumps(A).encode(),) * 2), b'ab'),
    'metadata of numbers': (dict(a=A, __metadata__=dict(x=1)), b'ab'),
    'metadata of a list': (dict(a=A, __metadata__=['x']), b'ab'),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_headers_are_one_line(tmp_path, name):
    file = write(tmp_path / 'x.safetensors', *HOSTILE[name])
    with pytest.raises(SetupError, match='x.safetensors cannot be read, it is damaged or no safetensors file') as error:
        read_safetensors(file)
    assert '\n' not in str(error.value) and len(str(error.value)) < 500


def test_a_length_beyond_the_file_allocates_nothing(tmp_path):
    (tmp_path / 'x.safetensors').write_bytes(b'\xff' * 8 + b'{}')
    with pytest.raises(SetupError, match='its 10 bytes are fewer than its header announces'):
        read_safetensors(tmp_path / 'x.safetensors')
