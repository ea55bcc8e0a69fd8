from .load_rgb import BrokenImageError, LoadRGB

__all__ = ['BrokenImageError', 'LoadRGB']
