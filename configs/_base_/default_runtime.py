# What all pretraining recipes share: mixed precision, hooks, logging. Recipes set optimizer, rate, schedule and epochs.
default_scope = 'mmpretrain'

# On a CPU, tools/train.py uses float32.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    # bfloat16 has the range of float32 and needs no loss scaling. For GPUs without bfloat16 (before Ampere):
    #   --cfg-options optim_wrapper.dtype=float16 optim_wrapper.loss_scale=dynamic
    loss_scale=dict(enabled=False),
    constructor='lewel_plugins.TypedOptimWrapperConstructor',
)
train_cfg = dict(type='EpochBasedTrainLoop', val_interval=10)

default_hooks = dict(
    # Reads the losses from the GPU only in the iterations that are logged.
    runtime_info=dict(type='lewel_plugins.DeferredRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    # Validation is logged by iteration, so that its curves share an axis with those of training.
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # A checkpoint is complete or absent. The newest three are kept.
    checkpoint=dict(type='lewel_plugins.AtomicCheckpointHook', interval=10, max_keep_ckpts=3),
    # Seeds each iteration and resumes within an epoch. Replaces DistSamplerSeedHook.
    sampler_seed=dict(type='lewel_plugins.ReproducibilityHook'),
    # Updates the teacher once per optimizer step.
    momentum_update=dict(type='lewel_plugins.MomentumUpdateHook'),
    # Logs std of the unit features, RankMe, alignment, uniformity. Warns of a collapse; stop=True ends the run.
    monitor=dict(type='lewel_plugins.RepresentationMonitorHook', interval=50),
    # Stops the run at a NaN or Inf and keeps the last good checkpoint.
    non_finite=dict(type='lewel_plugins.NonFiniteHook'),
    # Saves and stops a run whose job is about to end. Set max_minutes by --max-minutes.
    preemption=dict(type='lewel_plugins.PreemptionHook'),
    # Skips and counts unreadable files. Stops the run above this share of the data set.
    broken_images=dict(type='lewel_plugins.BrokenImageHook', max_share=0.01),
)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # Seconds. NCCL's default of 600 ends a job whose ranks list a large folder on a slow disk or compile a model.
    dist_cfg=dict(backend='nccl', timeout=3600),
)

# TensorBoard or Weights & Biases need one more entry:
#   vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)

log_level = 'INFO'
log_processor = dict(window_size=50)
load_from = None
resume = False
randomness = dict(seed=0)
