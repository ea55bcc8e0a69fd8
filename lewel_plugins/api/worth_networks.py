"""The networks of ``lewel worth``: random, given, and pretrained anew for each seed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lewel_plugins.files import read_json, write_bytes, write_text
from lewel_plugins.image_files.path_list import encode_lines, path_line
from lewel_plugins.payoff.design import ARMS
from lewel_plugins.payoff.experiment import Experiment

from .run_folder import SESSIONS, RunFolder
from .training import Say
from .worth_request import Request

if TYPE_CHECKING:
    from mmengine.config import Config

IMAGES_LIST, NETWORK_CONFIG = 'pretraining_images.txt', 'pretraining.py'


class Stopped(Exception):
    """A pretraining has stopped after a checkpoint.

    Args:
        status: ``stopped`` or ``interrupted``.
    """

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class ArmNetworks:
    """The files of the networks of all arms, each made when it is needed.

    Args:
        request: What the user asks for.
        experiment: The images.
        work: Folder of the networks.
        say: Is called with each line for the user.
    """

    def __init__(self, request: Request, experiment: Experiment, work: Path, say: Say) -> None:
        self.request, self.experiment, self.work, self.say = request, experiment, work, say
        self.settings = request.settings
        self.weights = self._write_weights() if request.weights is not None else None
        self.config = self._config()

    def random(self, seed: int) -> Path:
        from lewel_plugins.payoff.networks import write_random_network

        path = self.work / 'networks' / f'random_seed{seed}.pth'
        if not path.is_file():
            write_random_network(self.config, seed, path)
        return path

    def pretrained(self, arm: str, seed: int) -> Path:
        """Pretrain an arm with a seed, if that is not done, and return its checkpoint."""
        from lewel_plugins.running.work_dir import last_checkpoint

        if self.request.pretrained is not None:
            return last_checkpoint(self.request.pretrained)
        from .pretrain import pretrain

        run = RunFolder(self.work / 'pretraining' / f'{arm}_seed{seed}')
        if not run.is_finished:
            self.say(f'pretraining {arm} ({ARMS[arm]}), seed {seed}: {seed + 1} of {self.request.seeds}')
            result = pretrain(
                self.work / IMAGES_LIST,
                run.path,
                gpus=self.settings.gpus if self.settings.gpus is not None else 'all',
                seed=seed,
                overrides=self._overrides(arm),
                **self._pretraining(arm),
            )
            if result.status != 'finished':
                raise Stopped(result.status)
        return last_checkpoint(run.path)

    def seconds(self, arm: str, seed: int) -> float:
        """Return the time of all starts of a pretraining."""
        sessions = read_json(self.work / 'pretraining' / f'{arm}_seed{seed}' / SESSIONS)
        return float(sum(session['seconds'] for session in sessions)) if isinstance(sessions, list) else 0.0

    def _config(self) -> 'Config':
        """Return the config of pretraining from random weights, which is written down once.

        With ``--pretrained`` it is that of the run: all arms have its network and its size of images.
        """
        from mmengine.config import Config

        file = self.work / NETWORK_CONFIG
        if not file.is_file():
            write_text(file, self._plan_pretraining().pretty_text)
        return Config.fromfile(file)

    def _plan_pretraining(self) -> 'Config':
        from lewel_plugins.planning.compose import Images

        from .preparation import Options, prepare
        from .worth_pretrained import network_config, with_images

        images = self.work / IMAGES_LIST
        if not images.is_file():  # in a temporary folder
            write_bytes(images, encode_lines(path_line(os.path.abspath(path)) for path in self.experiment.pretraining))
        here = '{{ fileDirname }}'
        dataset = dict(type='lewel_plugins.ImageList', list_file=f'{here}/{IMAGES_LIST}', data_root=here)
        if self.request.pretrained is not None:
            return with_images(network_config(self.request.pretrained), dataset, len(self.experiment.pretraining))
        options = Options.of([images], self._overrides(), self.settings.gpus, seed=0, **self._pretraining('C'))
        preparation = prepare(options, say=self.say)
        config = preparation.config(Images(dataset))
        config.image_size = preparation.plan['image_size']
        return config

    def _pretraining(self, arm: str) -> dict[str, Any]:
        """Return the arguments of the pretraining of an arm."""
        arguments: dict[str, Any] = {**self.settings.pretraining(), 'hours': None, 'holdout': 0}
        if self.weights is not None:
            arguments['backbone'] = self._backbone_name
        if arm == 'D':
            arguments['weights'] = self.request.weights
        return arguments

    def _overrides(self, arm: str = 'C') -> list[str]:
        """Return the settings of the config; the stem of C's network is that of the given weights."""
        stem = [f'model.backbone.type={self._backbone_type}'] if self.weights is not None and arm == 'C' else []
        return [*self.request.overrides, *stem]

    def _write_weights(self) -> Path:
        from lewel_plugins.checkpoints import read_starting_weights
        from lewel_plugins.planning.backbones import name_of

        from .preparation import weights_file

        name = str(self.request.weights)
        weights = read_starting_weights(name, weights_file(name), self.say)
        self._backbone_name = name_of(weights.settings, name)
        self._backbone_type = str(weights.settings['type'])
        path = self.work / 'networks' / 'given.pth'
        if not path.is_file():
            weights.write(path)
        return path
