# STL-10, BYOL's views.
_base_ = ['./stl10.py', '../views/byol_96px.py']

data_preprocessor = dict(views=_base_.views)
