import json
import sys

import pytest
import torch
from helpers.tool_runs import ROOT, run, write_config
from helpers.toy_runner import toy_runner

TOOL = str(ROOT / 'tools' / 'analysis' / 'embedding_map.py')


@pytest.mark.core
def test_draws_any_checkpoint(tmp_path):
    runner = toy_runner(tmp_path / 'run', max_iters=2)
    runner.train()
    config, checkpoint = write_config(tmp_path / 'config.py'), str(tmp_path / 'run' / 'iter_2.pth')
    out = tmp_path / 'new' / 'map.png'
    arguments = config, checkpoint, '--out', str(out), '--layer', 'neck', '--max-images', '8'
    done = run(sys.executable, TOOL, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert out.read_bytes().startswith(b'\x89PNG')
    numbers = json.loads(out.with_suffix('.json').read_text())
    assert numbers['images'] == 8 and numbers['dimensions'] == 16 and len(numbers['spectrum']) == 16
    images = torch.stack([runner.val_dataloader.dataset[i * 10 // 8]['inputs'] for i in range(8)])
    runner.model.eval()
    with torch.no_grad():
        z = torch.nn.functional.normalize(runner.model.neck(runner.model.backbone(images))[0], dim=1)
    expected = torch.linalg.eigvalsh(z.T.cov().double()).flip(0) * 16
    torch.testing.assert_close(torch.tensor(numbers['spectrum']), expected.float(), rtol=1e-3, atol=1e-5)


def test_errors_name_what_is_wrong(tmp_path):
    done = run(sys.executable, TOOL, 'none.pth', cwd=tmp_path)
    assert done.returncode == 1 and "error: checkpoint 'none.pth' does not exist" in done.stdout, done.stdout
    done = run(sys.executable, TOOL, 'none.pth', '--max-images', '2', cwd=tmp_path)
    assert done.returncode == 2 and '--max-images must be at least 4' in done.stdout, done.stdout
