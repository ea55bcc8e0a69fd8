"""The network interface of gloo, whose own choice fails on hosts whose name stands for their loopback."""

import ipaddress
import os
import socket
import struct
import sys

from .rendezvous import set_slurm_master

_IOCTL_ADDRESS = 0x8915  # SIOCGIFADDR of Linux
_PORT = 9  # any; nothing is sent
_ELSEWHERE = '192.0.2.1'  # on no host, so that the default route leads to it
_SIZES = {  # number of ranks, and of those on this host
    'pytorch': ('WORLD_SIZE', 'LOCAL_WORLD_SIZE'),
    'mpi': ('OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_SIZE'),
}


def set_gloo_interface(launcher: str) -> None:
    """Have gloo use the interface that leads to the first host, in a training on several hosts.

    By default, gloo listens at the address of the host's own name. Debian and Ubuntu write 127.0.1.1 for it into
    ``/etc/hosts``, to which no other host can connect. Where the launcher gives the first host by its name, that name
    leads to the loopback there, too, and the interface of the default route is taken.

    Nothing changes where ``GLOO_SOCKET_IFNAME`` is set, or no interface is found.

    Args:
        launcher: Launcher of the ranks, whose environment variables count the ranks.
    """
    several = _has_several_hosts(launcher)
    if several is False or 'GLOO_SOCKET_IFNAME' in os.environ or sys.platform != 'linux':
        return
    if launcher == 'slurm':
        set_slurm_master()
    name = interface_towards(os.environ.get('MASTER_ADDR', '127.0.0.1'))
    if name is None and several:
        name = interface_towards(_ELSEWHERE)
    if name is not None:
        os.environ['GLOO_SOCKET_IFNAME'] = name


def _has_several_hosts(launcher: str) -> bool | None:
    """Return whether the ranks are on several hosts; None if that is unknown."""
    if launcher == 'none':
        return False
    if launcher == 'slurm':
        return os.environ.get('SLURM_NNODES', '1') != '1'
    ranks, ranks_here = (os.environ.get(name) for name in _SIZES[launcher])
    return None if ranks is None or ranks_here is None else ranks != ranks_here


def interface_towards(address: str) -> str | None:
    """Return the name of the interface from which packets to an address leave; None for loopback, or if none is found.

    Args:
        address: IPv4 address or name of a host.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
            connection.connect((address, _PORT))
            own = connection.getsockname()[0]
        if ipaddress.ip_address(own).is_loopback:
            return None
        return next((name for _, name in socket.if_nameindex() if _address_of(name) == own), None)
    except OSError:
        return None


def _address_of(name: str) -> str | None:
    """Return the IPv4 address of an interface; None if it has none."""
    import fcntl  # not on Windows

    request = struct.pack('256s', name.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        try:
            answer = fcntl.ioctl(connection.fileno(), _IOCTL_ADDRESS, request)
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])
