# The methods and baselines that the comparisons on CIFAR-10 have in common, with the small recipes. BYOL with EMAN is
# LEWEL_B without alignment, with the optimizer, the teacher and the widths of LEWEL_B with EMAN. `lr` is the best rate by
# 20-NN (rates_cifar10.py); a test compares it with the results. MoCo v3, MPCL on it and MSBReg train by LARS, BYOL by both,
# all others by SGD. "Projector at 1/4" is a control: in MPCL the mean over four losses gives each output layer a quarter of
# the gradient, which by SGD is a quarter of the rate. The control slows the hidden layer as well, which in MPCL is shared by
# the four projectors and has more of its gradient (0.7 of it with random weights), so it slows more than MPCL does. MSBReg
# with K = 8 has the rate of K = 2 and 4 as a guess: it has not been searched by LARS.
small = '_resnet10_1xb128-10e_cifar10.py'
lars = {
    'optim_wrapper.optimizer': dict(
        _delete_=True, type='lewel_plugins.LARS', lr=3.0, momentum=0.9, weight_decay=1e-6
    ),
}
bias = dict(lr_mult=0.25, decay_mult=0.0)  # a custom key turns off `bias_decay_mult`
quarter = {
    'optim_wrapper.paramwise_cfg.custom_keys': {
        'neck': dict(lr_mult=0.25), 'neck.mlp.0.bias': bias, 'neck.mlp.2.bias': bias
    },
}
shared = {
    'MoCo v2': dict(config='../baselines/mocov2' + small, options={}, lr=0.01),
    'MoCo v2, projector at 1/4': dict(config='../baselines/mocov2' + small, options=quarter, lr=0.03),
    'MoCo v3': dict(config='../baselines/mocov3' + small, options=lars, lr=3.0),
    'BYOL': dict(config='../baselines/byol' + small, options={}, lr=0.3),
    'BYOL, LARS': dict(config='../baselines/byol' + small, options=lars, lr=3.0),
    'BYOL, EMAN': dict(
        config='../lewel/lewel-b' + small,
        options={'model.teacher_norm': 'eman', 'model.head.beta': 0.0, 'model.neck.coupled': False},
        lr=0.1,
    ),
    'Barlow Twins': dict(config='../baselines/barlowtwins' + small, options={}, lr=0.001),
    'LEWEL_M': dict(config='../lewel/lewel-m' + small, options={}, lr=0.1),
    'LEWEL_B': dict(config='../lewel/lewel-b' + small, options={}, lr=0.1),
    'LEWEL_B, EMAN': dict(config='../lewel/lewel-b' + small, options={'model.teacher_norm': 'eman'}, lr=0.1),
    'SMoG': dict(config='../smog/smog' + small, options={}, lr=0.03),
    'SMoG, multi-crop': dict(config='../smog/smog_resnet10_1xb128-multicrop-10e_cifar10.py', options={}, lr=0.1),
    'MPCL, MoCo v2': dict(config='../mpcl/mpcl-mocov2' + small, options={}, lr=0.1),
    'MPCL, MoCo v3': dict(config='../mpcl/mpcl-mocov3' + small, options=lars, lr=3.0),
    'MPCL, Barlow Twins': dict(config='../mpcl/mpcl-barlowtwins' + small, options={}, lr=0.003),
    'MSBReg, K = 2': dict(config='../msbreg/msbreg-k2' + small, options={}, lr=3.0),
    'MSBReg, K = 4': dict(config='../msbreg/msbreg-k4' + small, options={}, lr=3.0),
    'MSBReg, K = 8': dict(config='../msbreg/msbreg-k8' + small, options={}, lr=3.0),
}
del small, lars, bias, quarter
