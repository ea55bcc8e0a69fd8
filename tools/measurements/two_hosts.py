"""Train on two hosts, kill one of them, and compare the end with the same number of ranks on one host.

The hosts are two network namespaces of this machine, joined by a pair of virtual Ethernet devices, each with a hostname
and an address of its own; their disk is the same. The commands are those of `docs/clusters.md`, read from the page,
with another config and number of ranks. The ranks talk over TCP by gloo. Making namespaces needs root.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from soak import ENVIRONMENT, STEPS, end_state, equal, make_config, read_phase, write_images, write_phase
from steps.report import Report

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'clusters.md'
KILL_STEP = 35
LIMIT = 900  # seconds for a training
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def page_command() -> str:
    """Return the command for several machines that the page shows.

    Raises:
        ValueError: The page has no such command.
    """
    commands = re.findall(r'^    (NNODES=2 .*)$', PAGE.read_text(encoding='utf-8'), re.MULTILINE)
    if len(commands) != 1:
        raise ValueError(f'{PAGE} must have one command that starts with NNODES=2, got {commands}')
    return commands[0]


class Host:
    """A network namespace, and a training in it."""

    def __init__(self, rank: int, addresses: list[str]) -> None:
        self.rank, self.addresses = rank, addresses
        self.name, self.device = f'host{rank}-{os.getpid()}', f'v{rank}-{os.getpid()}'
        self.settings = Path('/etc/netns', self.name)  # `ip netns exec` shows these files in /etc
        self.process: subprocess.Popen | None = None

    def make(self) -> None:
        """Make the namespace, in which the hosts know each other by name."""
        ip('netns', 'add', self.name)
        self.settings.mkdir(parents=True)
        names = [f'{address} host{i}' for i, address in enumerate(self.addresses)]
        # Debian and Ubuntu write a host's own name like this; the other name spares look-ups of the address.
        names[self.rank] = f'127.0.1.1 host{self.rank}\n{self.addresses[self.rank]} address{self.rank}'
        (self.settings / 'hosts').write_text('\n'.join(['127.0.0.1 localhost', *names, '']))

    def connect(self) -> None:
        """Set the address of its end of the cable."""
        ip('link', 'set', self.device, 'netns', self.name)
        ip('-n', self.name, 'address', 'add', f'{self.addresses[self.rank]}/24', 'dev', self.device)
        for device in ('lo', self.device):
            ip('-n', self.name, 'link', 'set', device, 'up')

    def start(self, command: str, log: Path) -> None:
        """Run a command line of the shell on the host."""
        words = ['ip', 'netns', 'exec', self.name, 'unshare', '--uts', 'sh', '-c']
        script = f'hostname host{self.rank} && export {command.replace(" tools/", " && exec tools/", 1)}'
        with log.open('a') as file:
            self.process = subprocess.Popen(
                [*words, script],
                cwd=ROOT,
                env={**os.environ, **ENVIRONMENT},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def kill_ranks(self) -> None:
        """Kill the processes that torchrun has started, but not torchrun itself."""
        assert self.process
        pid = self.process.pid
        for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split():
            os.kill(int(child), signal.SIGKILL)

    def kill(self) -> None:
        """Kill all processes of the host, as a power cut does."""
        for pid in ip('netns', 'pids', self.name).split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self.process:
            self.process.wait()

    def remove(self) -> None:
        """Remove the namespace, and with it the cable."""
        if Path('/run/netns', self.name).exists():
            self.kill()
            ip('netns', 'delete', self.name)
        shutil.rmtree(self.settings, ignore_errors=True)


def ip(*arguments: str) -> str:
    return subprocess.run(['ip', *arguments], check=True, capture_output=True, text=True).stdout


class Hosts:
    """Two hosts and the cable between them, as a context manager that removes them."""

    def __init__(self, folder: Path, ranks: int) -> None:
        self.folder, self.ranks = folder, ranks
        master = re.search(r'MASTER_ADDR=(\S+)', page_command())
        assert master
        addresses = [master[1], master[1].rpartition('.')[0] + '.2']
        self.hosts = [Host(rank, addresses) for rank in range(2)]

    def __enter__(self) -> 'Hosts':
        try:
            for host in self.hosts:
                host.make()
            ip('link', 'add', self.hosts[0].device, 'type', 'veth', 'peer', 'name', self.hosts[1].device)
            for host in self.hosts:
                host.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
        for host in self.hosts:
            host.remove()
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def start(self, work_dir: Path, prefix: str = '') -> None:
        """Start the command of the page on both hosts."""
        write_phase(self.folder / 'phase', 'start-up', 0)
        for host in self.hosts:
            self.start_one(host, work_dir, prefix)

    def start_one(self, host: Host, work_dir: Path, prefix: str = '') -> None:
        """Start the command of the page on one host."""
        command = prefix + page_command().replace('NODE_RANK=0', f'NODE_RANK={host.rank}')
        config = shlex.quote(str(self.folder / 'config.py'))
        command = command.replace('CONFIG 8', f'{config} {self.ranks}').replace('RUN', shlex.quote(str(work_dir)))
        host.start(command, work_dir.with_suffix(f'.{host.rank}.log'))

    def wait_for_step(self, step: int) -> None:
        """Wait until the training is in a step."""
        end = time.monotonic() + LIMIT
        while read_phase(self.folder / 'phase')[1] < step:
            if time.monotonic() > end or all(host.process and host.process.poll() is not None for host in self.hosts):
                raise RuntimeError(f'the training has not reached step {step}')
            time.sleep(0.05)

    def wait(self) -> list[int]:
        """Return the exit status of the command on each host."""
        end = time.monotonic() + LIMIT
        return [host.process.wait(max(1, end - time.monotonic())) for host in self.hosts if host.process]


def whole_run(hosts: Hosts, work_dir: Path) -> list[int]:
    """Train without a break."""
    hosts.start(work_dir)
    return hosts.wait()


def killed_ranks(hosts: Hosts, work_dir: Path) -> list[int]:
    """Kill the ranks of the second host; both torchruns start their ranks again."""
    hosts.start(work_dir, 'MAX_RESTARTS=3 ')
    hosts.wait_for_step(KILL_STEP)
    hosts.hosts[1].kill_ranks()
    return hosts.wait()


def replaced_host(hosts: Hosts, work_dir: Path) -> list[int]:
    """Kill all processes of the second host, and run its command again there only."""
    hosts.start(work_dir, 'MAX_RESTARTS=3 ')
    hosts.wait_for_step(KILL_STEP)
    hosts.hosts[1].kill()
    hosts.start_one(hosts.hosts[1], work_dir, 'MAX_RESTARTS=3 ')
    return hosts.wait()


def killed_host(hosts: Hosts, work_dir: Path, host: int) -> list[int]:
    """Kill all processes of a host; when the command has ended on the other, run it on both again."""
    hosts.start(work_dir)
    hosts.wait_for_step(KILL_STEP)
    hosts.hosts[host].kill()
    survivor = hosts.hosts[1 - host].process
    assert survivor
    if survivor.wait(LIMIT) == 0:
        raise RuntimeError('the command on the other host has ended without an error')
    hosts.start(work_dir)
    return hosts.wait()


SCENARIOS = {
    'nothing': whole_run,
    'second host killed, command run again on both': lambda hosts, path: killed_host(hosts, path, 1),
    'first host killed, command run again on both': lambda hosts, path: killed_host(hosts, path, 0),
    'ranks of the second host killed, with `MAX_RESTARTS=3`': killed_ranks,
    'second host killed, command run again there only, with `MAX_RESTARTS=3`': replaced_host,
}


def one_host(folder: Path, ranks: int) -> dict[str, Any]:
    """Return the end of a training on one host with as many ranks."""
    command = [str(ROOT / 'tools/dist_train.sh'), str(folder / 'config.py'), str(ranks)]
    with (folder / 'one.log').open('w') as log:
        done = subprocess.run(
            [*command, '--work-dir', str(folder / 'one')], env={**os.environ, **ENVIRONMENT}, stdout=log, stderr=log
        )
    if done.returncode:
        raise SystemExit(f'error: the run on one host failed:\n{(folder / "one.log").read_text()[-3000:]}')
    return end_state(folder / 'one')


def measure(args: argparse.Namespace, folder: Path, report: Report) -> bool:
    """Run all scenarios; return whether each ended like the run on one host."""
    write_images(folder / 'images')
    make_config(args.method, 2 * args.ranks, folder)
    expected = one_host(folder, 2 * args.ranks)
    fine = True
    for i, (name, scenario) in enumerate(SCENARIOS.items()):
        work_dir = folder / f'run{i}'
        with Hosts(folder, args.ranks) as hosts:
            try:
                statuses: Any = scenario(hosts, work_dir)
            except (subprocess.TimeoutExpired, RuntimeError) as error:
                statuses = [str(error)]
        is_equal = (work_dir / f'iter_{STEPS}.pth').is_file() and equal(end_state(work_dir), expected)
        logs = [work_dir.with_suffix(f'.{rank}.log').read_text() for rank in range(2)]
        resumed = re.findall(r'resumed epoch: \d+, iter: (\d+)', logs[0] + logs[1])
        row = dict(scenario=name, statuses=statuses, resumed=resumed, equal=is_equal)
        report.add(row, name, ', '.join(map(str, statuses)), ', '.join(resumed) or '–', 'yes' if is_equal else 'no')
        if not is_equal or any(statuses):
            fine = False
            print(*(log[-4000:] for log in logs), sep='\n\n', file=sys.stderr)
    return fine


def stop(*_: object) -> None:
    """End the script, which removes the namespaces; further signals must not interrupt that."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description='Train on two hosts, kill one, and compare with one host.')
    parser.add_argument('--ranks', type=int, default=2, help='ranks per host (default: %(default)s)')
    parser.add_argument('--method', default='SMoG', choices=['SMoG', 'LEWEL_M', 'MPCL'], help='default: %(default)s')
    parser.add_argument('--out', type=Path, help='json file to write, with the table in markdown beside it')
    args = parser.parse_args()
    if os.geteuid() or not shutil.which('ip'):
        raise SystemExit('error: network namespaces need root and the command ip (iproute2)')
    for number in SIGNALS:
        signal.signal(number, stop)
    report = Report('Two hosts', 'what happened', 'exit status', 'resumed from step', 'bits of one host')
    with tempfile.TemporaryDirectory() as folder:
        fine = measure(args, Path(folder), report)
    legend = (__doc__ or '').partition('\n')[2]
    report.write(args.out, legend, page_command=page_command(), ranks=args.ranks, method=args.method)
    raise SystemExit(not fine)


if __name__ == '__main__':
    main()
