"""BYOL, MoCo v2 and v3 and Barlow Twins of stable-pretraining, as algorithms here.

The classes of ``stable_pretraining.methods`` do the whole step: heads, loss and queue are theirs, and the
``TeacherStudentCallback`` of the library updates the teacher, called as by its trainer. Backbone, views, optimizer and
schedule come from the config. A setting that our recipe has as well is an argument; all others have the value in the
library:

============  ==========================================  ===========================================================
method        as in our recipe                            as in stable-pretraining
============  ==========================================  ===========================================================
BYOL          widths, momentum at start and end           biases; one cosine step of the momentum per epoch
MoCo v2       widths, momentum, temperature, queue        biases; the queue starts empty, and has the keys of the
                                                          batch when it is contrasted
MoCo v3       widths and depth of the heads, momentum     one cosine step of the momentum per epoch
              at start and end, temperature
Barlow Twins  widths, weight λ of the redundancy          initialization of the head; a variance over N − 1
============  ==========================================  ===========================================================

k-NN reads the online backbone, as for all methods here; callbacks of the library would read the teacher.

The loss of BYOL is half of the one in mmpretrain and here (up to a constant). That of MoCo v3 is 1.25 times as large:
it has a factor of 1/2 instead of 2τ = 0.4. Barlow Twins has the same scale, but correlations that are smaller by the
factor (N − 1)/N. In MoCo v2 the key of a query is also one of its negatives, so the loss is at least log 2 if the two
embeddings agree. ``tests/tools/test_library_methods.py`` tests all this.

Needs the environment of ``tools/make_env.sh DIR libraries``.
"""

import logging
from types import SimpleNamespace

from loguru import logger
from mmengine.logging import MessageHub
from mmpretrain.models.selfsup import BaseSelfSupervisor
from stable_pretraining import TeacherStudentCallback, TeacherStudentWrapper, methods
from torch import Tensor, nn

from lewel_plugins.registry import MODELS

logger.disable('stable_pretraining')  # it logs every attribute of a module
logging.root.handlers.clear()  # it prints what other packages log


class PooledBackbone(nn.Module):
    """A backbone of mmpretrain as the library wants one: from images (N, 3, H, W) to features (N, D)."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of the last feature map over its positions."""
        return self.backbone(x)[-1].mean((2, 3))


@MODELS.register_module()
class StablePretrainingMethod(BaseSelfSupervisor):
    """A method of stable-pretraining, trained by mmengine's Runner.

    Args:
        backbone: Config of the backbone.
        method: Name of a class of ``stable_pretraining.methods`` whose ``forward`` takes two views.
        settings: Its arguments, but for the encoder.
        data_preprocessor: Config of the data preprocessor.
    """

    def __init__(self, backbone: dict, method: str, settings: dict, data_preprocessor: dict | None = None) -> None:
        super().__init__(backbone=backbone, data_preprocessor=data_preprocessor)
        self.backbone.init_weights()  # before the library copies it for its teacher
        self.method = getattr(methods, method)(encoder_name=PooledBackbone(self.backbone), **settings)
        has_teacher = isinstance(self.method.projector, TeacherStudentWrapper)
        self.callback = TeacherStudentCallback(verbose=False) if has_teacher else None
        # RepresentationMonitorHook reads the neck.
        self.neck = self.method.projector.student if has_teacher else self.method.projector
        self.steps = 0

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Do a step of the library on two views (N, 3, H, W)."""
        return dict(loss=self.method(*inputs).loss)

    def before_training(self) -> None:
        """Start the library's callback, if the method has a teacher."""
        if self.callback is not None:
            self.callback.on_fit_start(self._trainer(), self.method)

    def after_optimizer_step(self, progress: float) -> None:
        """Let the library update the teacher, by the momentum of the current epoch."""
        self.steps += 1
        if self.callback is not None:
            self.callback.on_train_batch_end(self._trainer(), self.method, None, None, 0)

    def _trainer(self) -> SimpleNamespace:
        """Return what the library's callback reads of a trainer."""
        hub = MessageHub.get_current_instance()
        epochs = dict(current_epoch=hub.get_info('epoch', 0), max_epochs=hub.get_info('max_epochs', 1))
        return SimpleNamespace(global_step=self.steps, **epochs)
