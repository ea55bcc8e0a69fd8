# Frozen features on STL-10 (docs/evaluation.md) by LEWEL_B's recipe, without augmentation. The other protocols have no
# recipe on STL-10.
linear = 'linear/lewel-b-linear_1xb256-steplr-50e_stl10.py'
lrs = (0.4, 0.04, 4.0)
knn = dict(k=(1, 5, 20, 200), temperature=0.07)
