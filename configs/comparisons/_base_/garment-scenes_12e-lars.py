# As garment-scenes_12e.py, with an optimizer that all methods can be trained with: that of MSBReg's recipe
# (configs/_base_/schedules/garment-scenes_24e-lars.py), norms and biases adapted, too.
_base_ = './garment-scenes_12e.py'
options = {
    'optim_wrapper.optimizer': dict(_delete_=True, type='lewel_plugins.LARS', lr=3.0, momentum=0.9, weight_decay=1e-6),
}
