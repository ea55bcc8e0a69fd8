# What all recipes for GPUs share. On a CPU tools/train.py takes float32 instead.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    # bfloat16 has float32's range: no loss scaling. On a GPU without it (before Ampere):
    #   --cfg-options optim_wrapper.dtype=float16 optim_wrapper.loss_scale=dynamic
    loss_scale=dict(enabled=False),
    constructor='lewel_plugins.TypedOptimWrapperConstructor',
)
