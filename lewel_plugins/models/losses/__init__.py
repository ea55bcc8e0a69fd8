from .brownian_loss import BrownianLoss
from .singular_value_loss import SingularValueLoss

__all__ = ['BrownianLoss', 'SingularValueLoss']
