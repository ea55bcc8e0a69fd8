# garment-scenes_12e.py with an optimizer that can train all methods: that of MSBReg's recipe
# (configs/msbreg/msbreg-k4_resnet10_1xb64-24e_garment-scenes.py), which adapts norms and biases, too.
_base_ = './garment-scenes_12e.py'
options = {
    'optim_wrapper.optimizer': dict(_delete_=True, type='lewel_plugins.LARS', lr=3.0, momentum=0.9, weight_decay=1e-6),
}
