"""A training on two ranks stops with a checkpoint after SIGTERM to ``lewel``, and when ``lewel`` is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.tool_runs import environment, write_config

from lewel_plugins.files import write_json
from lewel_plugins.running.jobs import lock
from lewel_plugins.running.progress_file import read_progress
from lewel_plugins.running.work_dir import STOPPED, last_checkpoint

pytestmark = pytest.mark.core

# Stands in for `lewel pretrain`, whose plans have several ranks on GPUs only.
LEWEL = """
import sys
from lewel_plugins.api.run_folder import RunFolder
from lewel_plugins.api.training import EXIT_STATUS, train

folder = RunFolder('run')
with folder.locked() as lock:
    sys.exit(EXIT_STATUS[train(folder, lock, print).status])
"""


@pytest.mark.parametrize(('number', 'status'), [(signal.SIGTERM, 75), (signal.SIGKILL, -9)])
def test_two_ranks_stop_with_a_checkpoint(tmp_path, number, status):
    run = tmp_path / 'run'
    hooks = dict(
        checkpoint=dict(_delete_=True, type='lewel_plugins.AtomicCheckpointHook', interval=10**6, by_epoch=False),
        preemption=dict(type='lewel_plugins.PreemptionHook'),
        progress=dict(type='lewel_plugins.ProgressHook', every=0.1),
    )
    write_config(run / 'config.py', default_hooks=hooks, **{'train_cfg.max_iters': 10**6})
    write_json(run / 'plan.json', dict(request={}, plan=dict(ranks=dict(value=2))))
    with subprocess.Popen([sys.executable, '-c', LEWEL], cwd=tmp_path, env=environment()) as lewel:
        try:
            while (progress := read_progress(run)) is None or progress.stage != 'training':
                assert lewel.poll() is None, (run / 'train.log').read_text()
                time.sleep(0.1)
        finally:
            lewel.send_signal(number)
        assert lewel.wait(100) == status
    descriptor = lock(run / 'run.lock', patience=100)  # the training has it until it ends
    assert descriptor is not None
    os.close(descriptor)
    assert last_checkpoint(run).name == STOPPED and last_checkpoint(run).is_file()
