import math

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

from lewel_plugins.dist import unwrap_model
from lewel_plugins.models.projector_balance import ProjectorBalance
from lewel_plugins.registry import HOOKS


@HOOKS.register_module()
class MPCLReweightHook(Hook):
    """Projector training balance (PTB): weigh MPCL's projectors by their accuracies. MPCL, Sec. III-C and Eq. 3.

    After every epoch the weights are set from the mean contrastive accuracy of each projector over that epoch, all
    batches and all ranks; in the first epoch they are equal, also with ``load_from``. Between epochs nothing is read
    from the device. Weights and the sums of an unfinished epoch are in the model's checkpoint.

    It then logs these scalars to the visualizer's backends (``scalars.json``): ``projector/accuracy_m`` of the epoch,
    ``projector/weight_m`` for the next epoch, ``projector/cosine_m_l``, the mean cosine between the embeddings of
    projectors m and l, and ``projector/cosine``, the mean over the pairs; ``projector/cka_m_l`` and ``projector/cka``
    likewise. CKA is 1 for embeddings that are equal up to a rotation, whatever their cosines, and about 0 for
    independent ones; it needs four images per rank. ``tools/analysis/projectors.py`` draws them.

    Args:
        epsilon: Temperature ε of Eq. 3; None only logs and leaves the weights equal (PTB off).
        interval: Iterations between two updates, instead of an epoch; required with an iteration-based loop.
        percent: Whether Eq. 3 has accuracies in per cent, as MoCo's code prints them, instead of in [0, 1]. The paper
            leaves this open. A difference of one point then makes a weight e^(1/ε) times as large, 7.4 at ε = 0.5
            instead of 1.02, which gives nearly all weight to the worst projector.

    Raises:
        ValueError: An argument is out of range, the model has no projectors to weigh, or an iteration-based loop has no
            ``interval``.
    """

    priority = 'NORMAL'  # before the logger, and before a checkpoint, which then has the new weights

    def __init__(self, epsilon: float | None = 0.5, interval: int | None = None, percent: bool = False) -> None:
        if epsilon is not None and not epsilon > 0:
            raise ValueError(f'epsilon must be positive, or None for equal weights, got {epsilon}')
        if interval is not None and interval < 1:
            raise ValueError(f'interval is a number of iterations and must be at least 1, got {interval}')
        self.epsilon, self.interval, self.percent = epsilon, interval, percent

    def before_train(self, runner: Runner) -> None:
        """Check that the model has projectors to weigh, and compute the interval."""
        balance = self._balance(runner)
        if runner.iter == 0:
            balance.restart()  # `load_from` has loaded the weights of another run
        if self.interval is not None:
            self._every = self.interval
        elif isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError('an iteration-based loop has no epochs: MPCLReweightHook needs interval=<iterations>')
        else:
            self._every = runner.max_iters // runner.max_epochs

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Set the weights after the last iteration of an epoch, before a checkpoint of that iteration."""
        if self.every_n_train_iters(runner, self._every):
            self._reweight(runner, runner.iter + 1)

    @staticmethod
    def _balance(runner: Runner) -> ProjectorBalance:
        model: nn.Module = unwrap_model(runner.model)
        balance = getattr(getattr(model, 'head', None), 'balance', None)
        if not isinstance(balance, ProjectorBalance):
            raise ValueError(
                f'MPCLReweightHook weighs the projectors of MPCL, but {type(model).__name__} has no head.balance'
            )
        return balance

    def _reweight(self, runner: Runner, step: int) -> None:
        epoch = self._balance(runner).rebalance(self.epsilon, self.percent)
        M = len(epoch['weight'])
        scalars = {f'projector/{name}_{m + 1}': epoch[name][m] for name in ('accuracy', 'weight') for m in range(M)}
        text = ''
        for name in ('cosine', 'cka'):
            pairs = {(m, other): epoch[name][m][other] for m in range(M) for other in range(m + 1, M)}
            if pairs and all(map(math.isfinite, pairs.values())):
                scalars.update({f'projector/{name}_{m + 1}_{other + 1}': value for (m, other), value in pairs.items()})
                scalars[f'projector/{name}'] = sum(pairs.values()) / len(pairs)
                text += f'; mean {name} {scalars[f"projector/{name}"]:.3f}'
        runner.visualizer.add_scalars(dict(scalars, iter=step), step=step)
        accuracies, weights = ([f'{value:.3f}' for value in epoch[name]] for name in ('accuracy', 'weight'))
        runner.logger.info(f'Projectors: accuracy {", ".join(accuracies)}; next weights {", ".join(weights)}{text}')
