from .decode import BrokenImageError
from .load_rgb import LoadRGB
from .load_views import LoadViews
from .make_views import MakeViews
from .view_scheme import ViewParameters, ViewScheme

__all__ = ['BrokenImageError', 'LoadRGB', 'LoadViews', 'MakeViews', 'ViewParameters', 'ViewScheme']
