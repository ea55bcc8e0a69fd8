"""Train the cases on one rank, or compute the canary, and write digests to a file.

``record.py`` starts ``python train_cases.py FILE [CASE ...]`` with its environment. Without a case, the canary is
computed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import traceback
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.distributed as torch_dist
import torch.nn.functional as F
from cases import CASES, WIDTH
from torch import Tensor

STEPS, GLOBAL_BATCH, IMAGES = 6, 8, 64
TIMEOUT = 60  # seconds, for one collective


def tensor_digest(x: Tensor) -> str:
    """Return the SHA-256 of the shape, type and bytes of a tensor."""
    x = x.detach().cpu().contiguous()
    header = f'{tuple(x.shape)} {x.dtype} '.encode()
    return hashlib.sha256(header + x.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()


def digest(tensors: Iterable[Tensor]) -> str:
    """Return the first 64 bits of the SHA-256 of tensors, regardless of their names and order."""
    lines = '\n'.join(sorted(tensor_digest(x) for x in tensors))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def canary() -> dict[str, str]:
    """Return the version of torch and a digest of operations that other machines may round differently."""
    rng = np.random.RandomState(0)  # its numbers are the same in every version of NumPy

    def numbers(*shape: int) -> Tensor:
        return torch.from_numpy(rng.randint(-999, 1000, shape).astype(np.float32) / 500)

    x, weight, matrix = numbers(8, 5, 9, 9), numbers(7, 5, 3, 3), numbers(33, 17)
    x, weight = (value.to(memory_format=torch.channels_last).requires_grad_() for value in (x, weight))
    y = F.batch_norm(F.conv2d(x, weight, stride=2, padding=1), None, None, training=True)
    y.relu().square().mean().backward()
    product = matrix @ matrix.T
    results = [y, x.grad, weight.grad, product, product.softmax(1), product.exp(), product.abs().log()]
    results += [torch.linalg.eigvalsh(matrix.T @ matrix), F.normalize(matrix), product.sum()]
    results += [torch.randn(50, generator=torch.Generator().manual_seed(0))]
    return dict(torch=torch.__version__, digest=digest(results))


class FixedViews(torch.utils.data.Dataset):
    """Noise images whose views have half of their noise in common."""

    def __init__(self, views: tuple[int, ...]) -> None:
        from mmpretrain.structures import DataSample

        size = max(views)
        pixels = np.random.RandomState(0).randint(0, 128, (IMAGES, 1 + len(views), 3, size, size))
        self.views = [
            torch.from_numpy((pixels[:, 0] + pixels[:, 1 + v])[..., :size, :size].astype(np.float32))
            for v, size in enumerate(views)
        ]
        self.sample = DataSample()

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=[view[index] for view in self.views], data_samples=self.sample)


def train(name: str) -> list[dict]:
    """Train a case; the digests before the first step and after every step.

    Raises:
        RuntimeError: A tensor of the model has kept its value: the case would not notice if its updates were lost.
    """
    from mmengine.hooks import Hook
    from mmengine.model import is_model_wrapper
    from mmengine.runner import Runner

    case, ranks = CASES[name], int(os.environ['WORLD_SIZE'])
    records: list[dict] = []

    class DigestHook(Hook):
        priority = 'LOWEST'  # runs after every hook that changes the model

        def before_train(self, runner: Runner) -> None:
            self.model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            self.optimizer = runner.optim_wrapper.optimizer
            self.optimizer.register_step_pre_hook(self.digest_gradients)
            # Nothing reads num_batches_tracked of BN, which stays at zero in an `eman` teacher.
            states = self.model.state_dict().items()
            self.unchanged = {key: value.clone() for key, value in states if not key.endswith('num_batches_tracked')}
            records.append(dict(state=self.state()))

        def digest_gradients(self, *_: object) -> None:
            parameters = [p for group in self.optimizer.param_groups for p in group['params']]
            self.gradients = digest(p.grad for p in parameters if p.grad is not None)

        def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
            losses = {key: float(value.detach()) for key, value in sorted(outputs.items())}
            records.append(
                dict(losses=losses, gradients=self.gradients, state=self.state(), optimizer=self.optimizer_state())
            )
            state = self.model.state_dict()
            self.unchanged = {key: value for key, value in self.unchanged.items() if torch.equal(value, state[key])}

        def after_train(self, runner: Runner) -> None:
            if self.unchanged:
                names = list(self.unchanged)
                raise RuntimeError(f'{STEPS} steps have not changed {len(names)} tensors, such as {names[0]}')

        def state(self) -> str:
            of_rank = self.model.rank_state() if hasattr(self.model, 'rank_state') else {}
            cached = [of_rank[name] for name in ('rows', 'positions') if of_rank]  # features of SMoG
            return digest([*self.model.state_dict().values(), *cached])

        def optimizer_state(self) -> str:
            tensors = []
            for group in self.optimizer.param_groups:
                settings = torch.tensor([group['lr'], group['weight_decay']], dtype=torch.float64)
                for p in group['params']:
                    tensors += [settings, *(x for x in self.optimizer.state[p].values() if isinstance(x, Tensor))]
            return digest(tensors)

    with TemporaryDirectory() as work_dir:
        Runner(
            model=dict(
                **case.model,
                backbone=dict(type='lewel_plugins.ResNet10', base_channels=WIDTH // 2, strides=(1, 2)),
                data_preprocessor=dict(type='SelfSupDataPreprocessor', mean=[128.0] * 3, std=[50.0] * 3),
            ),
            work_dir=work_dir,
            experiment_name=name,
            train_dataloader=dict(
                batch_size=GLOBAL_BATCH // ranks,
                num_workers=0,
                dataset=FixedViews(case.views),
                sampler=dict(type='lewel_plugins.SeededSampler', seed=0, infinite=True),
                collate_fn=dict(type='default_collate'),
            ),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=STEPS),
            optim_wrapper=dict(
                optimizer=case.optimizer,
                constructor='lewel_plugins.TypedOptimWrapperConstructor',
                paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
            ),
            default_hooks=dict(
                timer=None,
                logger=None,
                checkpoint=None,
                sampler_seed=dict(type='lewel_plugins.ReproducibilityHook'),
                momentum_update=dict(type='lewel_plugins.MomentumUpdateHook'),
            ),
            custom_hooks=[*case.hooks, DigestHook()],
            log_processor=dict(by_epoch=False),
            log_level='WARNING',
            default_scope='mmpretrain',
            randomness=dict(seed=0),
            launcher='pytorch' if ranks > 1 else 'none',
            cfg=dict(
                model_wrapper_cfg=dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)
            ),
        ).train()
    return records


def main() -> None:
    file, *names = sys.argv[1:]
    torch.set_num_threads(1)
    if not names:
        Path(file).write_text(json.dumps(canary()))
        return
    if int(os.environ['WORLD_SIZE']) > 1:
        torch_dist.init_process_group('gloo', timeout=timedelta(seconds=TIMEOUT))
    results: dict[str, list[dict] | str] = {}
    for name in names:
        try:
            results[name] = train(name)
        except Exception:  # the other cases can still be compared
            results[name] = traceback.format_exc()
    Path(file).write_text(json.dumps(results))


if __name__ == '__main__':
    main()
