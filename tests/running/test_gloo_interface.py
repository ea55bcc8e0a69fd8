"""The interface by which gloo connects the ranks of several hosts."""

import os
import socket
import sys
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from lewel_plugins.running import gloo_interface, setup
from lewel_plugins.running.gloo_interface import interface_towards

pytestmark = [pytest.mark.core, pytest.mark.skipif(sys.platform != 'linux', reason='uses ioctl of Linux')]
SEVERAL = {  # on the second of two hosts
    'pytorch': dict(WORLD_SIZE='4', LOCAL_WORLD_SIZE='2'),
    'mpi': dict(OMPI_COMM_WORLD_SIZE='4', OMPI_COMM_WORLD_LOCAL_SIZE='2'),
    'slurm': dict(SLURM_NNODES='2', SLURM_NODELIST='n[1-2]'),
}
ONE = {
    'none': {},
    'pytorch': dict(WORLD_SIZE='2', LOCAL_WORLD_SIZE='2'),
    'mpi': dict(OMPI_COMM_WORLD_SIZE='2', OMPI_COMM_WORLD_LOCAL_SIZE='2'),
    'slurm': dict(SLURM_NNODES='1'),
}
ROUTES = {'10.0.0.1': '10.0.0.2', 'first': '10.0.0.2', 'myself': '127.0.0.1', gloo_interface._ELSEWHERE: '172.16.0.2'}
ADDRESSES = dict(lo='127.0.0.1', down=None, docker0='172.17.0.1', eth0='172.16.0.2', ib0='10.0.0.2')


class Connection:
    """A socket on a host with these routes."""

    def __init__(self, *_: object) -> None:
        self.address = ''

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def connect(self, address: tuple[str, int]) -> None:
        if address[0] not in ROUTES:
            raise socket.gaierror(f'{address[0]}: unknown')
        self.address = ROUTES[address[0]]

    def getsockname(self) -> tuple[str, int]:
        return self.address, 40000


@pytest.fixture
def prepared(monkeypatch):
    """Return a function that prepares a rank on a GPU with some variables, and returns gloo's interface."""
    fake = SimpleNamespace(
        AF_INET=socket.AF_INET,
        SOCK_DGRAM=socket.SOCK_DGRAM,
        socket=Connection,
        if_nameindex=lambda: list(enumerate(ADDRESSES)),
    )
    monkeypatch.setattr(gloo_interface, 'socket', fake)
    monkeypatch.setattr(gloo_interface, '_address_of', ADDRESSES.__getitem__)
    monkeypatch.setattr(setup, 'has_accelerator', lambda: True)
    monkeypatch.setattr(setup, 'check_gpus', lambda: None)
    for name in {'GLOO_SOCKET_IFNAME', 'MASTER_ADDR', *SEVERAL['pytorch'], *SEVERAL['mpi'], *SEVERAL['slurm']}:
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)

    def prepare(launcher: str, **variables: str) -> str | None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        setup.prepare(Config(dict(optim_wrapper=dict(type='OptimWrapper'))), launcher)
        return os.environ.get('GLOO_SOCKET_IFNAME')

    return prepare


@pytest.mark.parametrize('launcher', SEVERAL)
@pytest.mark.parametrize('master', ['10.0.0.1', 'first'])
def test_the_interface_that_leads_to_the_first_host(prepared, launcher, master):
    assert prepared(launcher, **SEVERAL[launcher], MASTER_ADDR=master) == 'ib0'


def test_the_first_host_of_slurm(prepared, monkeypatch, tmp_path):
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostname n[1-2]" ] && printf "first\\nn2\\n"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    assert prepared('slurm', **SEVERAL['slurm']) == 'ib0'


def test_a_first_host_whose_name_is_its_loopback_takes_the_default_route(prepared):
    assert prepared('pytorch', **SEVERAL['pytorch'], MASTER_ADDR='myself') == 'eth0'


def test_the_number_of_hosts_may_be_unknown(prepared):
    assert prepared('pytorch', MASTER_ADDR='myself') is None
    assert prepared('pytorch', MASTER_ADDR='10.0.0.1') == 'ib0'


@pytest.mark.parametrize('launcher', ONE)
def test_nothing_is_set_on_one_host(prepared, launcher):
    assert prepared(launcher, **ONE[launcher], MASTER_ADDR='10.0.0.1') is None


def test_a_setting_of_the_user_stays(prepared):
    variables = dict(SEVERAL['pytorch'], MASTER_ADDR='10.0.0.1', GLOO_SOCKET_IFNAME='eth7')
    assert prepared('pytorch', **variables) == 'eth7'


def test_nothing_is_set_where_no_interface_is_found(prepared, monkeypatch):
    monkeypatch.setitem(ROUTES, '10.0.0.1', '10.9.9.9')
    monkeypatch.delitem(ROUTES, gloo_interface._ELSEWHERE)
    assert prepared('pytorch', **SEVERAL['pytorch'], MASTER_ADDR='10.0.0.1') is None
    assert prepared('pytorch', **SEVERAL['pytorch'], MASTER_ADDR='unknown') is None


def test_real_sockets():
    assert interface_towards('127.0.0.1') is None and interface_towards('localhost') is None
    assert gloo_interface._address_of('lo') == '127.0.0.1'
    assert gloo_interface._address_of('no-such-device') is None
