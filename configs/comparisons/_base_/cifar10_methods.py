# The methods and baselines that the comparisons on CIFAR-10 have in common, with the small recipes. BYOL with EMAN is
# LEWEL_B without alignment, with the optimizer, the teacher and the widths of LEWEL_B with EMAN.
small = '_resnet10_1xb128-10e_cifar10.py'
shared = {
    'MoCo v2': dict(config='../baselines/mocov2' + small, options={}),
    'MoCo v3': dict(config='../baselines/mocov3' + small, options={}),
    'BYOL': dict(config='../baselines/byol' + small, options={}),
    'BYOL, EMAN': dict(
        config='../lewel/lewel-b' + small,
        options={'model.teacher_norm': 'eman', 'model.head.beta': 0.0, 'model.neck.coupled': False},
    ),
    'Barlow Twins': dict(config='../baselines/barlowtwins' + small, options={}),
    'LEWEL_M': dict(config='../lewel/lewel-m' + small, options={}),
    'LEWEL_B': dict(config='../lewel/lewel-b' + small, options={}),
    'LEWEL_B, EMAN': dict(config='../lewel/lewel-b' + small, options={'model.teacher_norm': 'eman'}),
    'SMoG': dict(config='../smog/smog' + small, options={}),
    'SMoG, multi-crop': dict(config='../smog/smog_resnet10_1xb128-multicrop-10e_cifar10.py', options={}),
    'MPCL, MoCo v2': dict(config='../mpcl/mpcl-mocov2' + small, options={}),
    'MPCL, MoCo v3': dict(config='../mpcl/mpcl-mocov3' + small, options={}),
    'MPCL, Barlow Twins': dict(config='../mpcl/mpcl-barlowtwins' + small, options={}),
    'MSBReg, K = 2': dict(config='../msbreg/msbreg-k2' + small, options={}),
    'MSBReg, K = 4': dict(config='../msbreg/msbreg-k4' + small, options={}),
    'MSBReg, K = 8': dict(config='../msbreg/msbreg-k8' + small, options={}),
}
del small
