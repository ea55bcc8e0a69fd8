# default_runtime.py without mixed precision, the teacher update and the monitor of embeddings, which are for
# pretraining.
default_scope = 'mmpretrain'

default_hooks = dict(
    # Reads the losses from the GPU only in the iterations that are logged.
    runtime_info=dict(type='lewel_plugins.DeferredRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='lewel_plugins.AtomicCheckpointHook', interval=10, max_keep_ckpts=1),
    sampler_seed=dict(type='lewel_plugins.ReproducibilityHook'),
    non_finite=dict(type='lewel_plugins.NonFiniteHook'),
    preemption=dict(type='lewel_plugins.PreemptionHook'),
    broken_images=dict(type='lewel_plugins.BrokenImageHook', max_share=0.01),
)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # Seconds. NCCL's default of 600 ends a job whose ranks list a large folder on a slow disk or compile a model.
    dist_cfg=dict(backend='nccl', timeout=3600),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
log_processor = dict(window_size=50)
load_from = None
resume = False
randomness = dict(seed=0)
