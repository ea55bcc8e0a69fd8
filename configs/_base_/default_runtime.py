# What every pretraining recipe shares: mixed precision, hooks, logging. Recipes set optimizer, rate, schedule and length.
default_scope = 'mmpretrain'

# On a CPU tools/train.py takes float32 instead.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    # bfloat16 has float32's range: no loss scaling. On a GPU without it (before Ampere):
    #   --cfg-options optim_wrapper.dtype=float16 optim_wrapper.loss_scale=dynamic
    loss_scale=dict(enabled=False),
    constructor='lewel_plugins.TypedOptimWrapperConstructor',
)
train_cfg = dict(type='EpochBasedTrainLoop', val_interval=10)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    # Validation is placed at its iteration, so that its curves share an axis with the training's.
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # A checkpoint is complete or not there; the newest three are kept.
    checkpoint=dict(type='lewel_plugins.AtomicCheckpointHook', interval=10, max_keep_ckpts=3),
    # Seeds every iteration, and resumes in the middle of an epoch. Replaces DistSamplerSeedHook.
    sampler_seed=dict(type='lewel_plugins.ReproducibilityHook'),
    # Teacher: once per optimizer step.
    momentum_update=dict(type='lewel_plugins.MomentumUpdateHook'),
    # Std of the unit features, RankMe, alignment, uniformity; warns of a collapse, with stop=True also stops.
    monitor=dict(type='lewel_plugins.RepresentationMonitorHook', interval=50),
    # NaN or Inf stops the run and leaves the last good checkpoint.
    non_finite=dict(type='lewel_plugins.NonFiniteHook'),
    # Files that cannot be read are skipped and counted; above this share of the data set the run stops.
    broken_images=dict(type='lewel_plugins.BrokenImageHook', max_share=0.01),
)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

# TensorBoard and Weights & Biases by one more line:
#   vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)

log_level = 'INFO'
log_processor = dict(window_size=50)
load_from = None
resume = False
randomness = dict(seed=0)
