"""A test bed that the repository makes by itself: tinted garments on photographs.

Garments are tinted, scaled and rotated images of Fashion-MNIST, backgrounds are crops of real photographs. A scene is a
pure function of (arguments, split, index): it depends on neither the number of processes nor the order in which scenes
are made. Backgrounds are recolored, turned and faded, so that recognizing the photograph reveals nothing about the
garment. The photographs ship with scikit-image and scikit-learn. ``meta.json`` lists them, because other versions of
these packages may ship others.
"""

from .files import load_renderer, make_scenes
from .scene_config import SceneConfig

__all__ = ['SceneConfig', 'load_renderer', 'make_scenes']
