from .brownian_loss import BrownianLoss
from .singular_value_loss import SingularValueLoss
from .uniformity_loss import UniformityLoss

__all__ = ['BrownianLoss', 'SingularValueLoss', 'UniformityLoss']
