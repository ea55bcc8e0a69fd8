from lewel_plugins.image_files.decode import BrokenImageError

from .load_rgb import LoadRGB
from .load_views import LoadViews
from .make_views import MakeViews
from .train_on_difficult_boxes import TrainOnDifficultBoxes
from .view_scheme import ViewParameters, ViewScheme

__all__ = [
    'BrokenImageError',
    'LoadRGB',
    'LoadViews',
    'MakeViews',
    'TrainOnDifficultBoxes',
    'ViewParameters',
    'ViewScheme',
]
