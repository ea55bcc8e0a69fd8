"""Weights at an address: kept by the whole address, and only if all bytes came."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lewel_plugins.checkpoints import local_file
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core

CONTENT = b'weights' * 1000
HASH = hashlib.sha256(CONTENT).hexdigest()[:8]


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with the path and the content, and breaks off after half of it below ``/half``."""

    requests: list[str] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        content = CONTENT if 'hash' in self.path else self.path.encode() + CONTENT
        self.send_response(200)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path.startswith('/half') else content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path, monkeypatch) -> Iterator[str]:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setattr(Server, 'requests', [])
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / 'hub').rglob('*') if path.is_file())


def test_addresses_of_one_name_are_two_files(address, tmp_path):
    for _ in range(2):
        for path in ('/a/model.pth', '/b/model.pth', '/a/model.pth?version=2', '/a/model-20260131.pth'):
            file = local_file(address + path)
            assert file.read_bytes() == path.encode() + CONTENT and file.suffix == '.pth'
    assert len(Server.requests) == 4 == len(cached(tmp_path))  # each once


def test_a_name_with_a_hash_is_the_one_of_torch_and_is_compared(address, tmp_path):
    name = f'model-{HASH}.pth'
    assert local_file(f'{address}/hash/{name}').read_bytes() == CONTENT
    assert cached(tmp_path) == [name]
    with pytest.raises(SetupError, match=rf'downloaded: its SHA-256 is {HASH}…, not 0123abcd… as in its name'):
        local_file(f'{address}/hash/model-0123abcd.pth')
    assert cached(tmp_path) == [name]


def test_a_download_that_breaks_off_leaves_nothing(address, tmp_path):
    for _ in range(2):
        with pytest.raises(SetupError, match=r'half/m.pth cannot be downloaded: only 3,505 of 7,011 bytes came; try'):
            local_file(f'{address}/half/m.pth')
    assert cached(tmp_path) == [] and len(Server.requests) == 2
    with pytest.raises(SetupError, match=r'^http://127.0.0.1:1/m.pth cannot be downloaded: '):
        local_file('http://127.0.0.1:1/m.pth')
