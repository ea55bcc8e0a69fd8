# Frozen features on ImageNet-100 (docs/evaluation.md): of LEWEL_B's recipe, without augmentation. The rest has no recipe
# on it.
linear = 'linear/lewel-b-linear_8xb32-steplr-50e_in100.py'
lrs = (0.4, 0.04, 4.0)
knn = dict(k=(1, 5, 20, 200), temperature=0.07)
