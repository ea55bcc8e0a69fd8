from .load_rgb import BrokenImageError, LoadRGB
from .load_views import LoadViews
from .make_views import MakeViews
from .view_scheme import ViewParameters, ViewScheme

__all__ = ['BrokenImageError', 'LoadRGB', 'LoadViews', 'MakeViews', 'ViewParameters', 'ViewScheme']
