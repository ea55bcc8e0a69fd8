# MoCo v2's scheme at 224 px (Chen et al. 2020, arXiv:2003.04297), the same for both views.
view_pipelines = [
    [
        dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0), interpolation='bilinear', backend='cv2'),
        dict(
            type='RandomApply',
            transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, backend='cv2')],
            prob=0.8,
        ),
        # OpenMMLab's images are BGR.
        dict(type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
        dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
        dict(type='RandomFlip', prob=0.5),
    ]
    for _ in range(2)
]
