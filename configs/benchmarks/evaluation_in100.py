# Frozen features on ImageNet-100 (docs/evaluation.md) by LEWEL_B's recipe, without augmentation. The other protocols
# have no recipe on ImageNet-100.
linear = 'linear/lewel-b-linear_8xb32-steplr-50e_in100.py'
lrs = (0.4, 0.04, 4.0)
knn = dict(k=(1, 5, 20, 200), temperature=0.07)
