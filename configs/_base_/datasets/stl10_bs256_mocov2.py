# STL-10, MoCo v2's views.
_base_ = ['./stl10.py', '../views/mocov2_96px.py']

data_preprocessor = dict(views=_base_.views)
