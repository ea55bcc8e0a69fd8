# Frozen features on STL-10 (docs/evaluation.md): of LEWEL_B's recipe, without augmentation. The rest has no recipe on it.
linear = 'linear/lewel-b-linear_1xb256-steplr-50e_stl10.py'
lrs = (0.4, 0.04, 4.0)
knn = dict(k=(1, 5, 20, 200), temperature=0.07)
