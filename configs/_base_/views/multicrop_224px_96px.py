# SMoG Sec. 3.4: two views of 224 px, crops of 0.2 to 1 of the area, and four of 96 px, 0.05 to 0.2, in BYOL's two
# schemes (Grill et al. 2020, App. B). The paper does not say which scheme the small views have: two have each.
num_crops = [1, 1, 2, 2]
crop_pipelines = [
    [
        dict(type='RandomResizedCrop', scale=size, crop_ratio_range=area, interpolation='bicubic', backend='cv2'),
        dict(type='RandomFlip', prob=0.5),
        dict(
            type='RandomApply',
            transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, backend='cv2')],
            prob=0.8,
        ),
        # OpenMMLab's images are BGR.
        dict(type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
        dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=blur),
        dict(type='Solarize', thr=128, prob=solarize),
    ]
    for size, area, blur, solarize in (
        (224, (0.2, 1.0), 1.0, 0.0),
        (224, (0.2, 1.0), 0.1, 0.2),
        (96, (0.05, 0.2), 1.0, 0.0),
        (96, (0.05, 0.2), 0.1, 0.2),
    )
]
