# SMoG Sec. 3.4: two views of 224 px, crops of 0.2 to 1 of the area, and four of 96 px, 0.05 to 0.2, in BYOL's two
# schemes (Grill et al. 2020, App. B). The paper does not say which scheme the small views use: two use each.
num_crops = [1, 1, 2, 2]
crop_views = [
    dict(size=size, crop_scale=area, interpolation='bicubic', blur=blur, solarize=solarize)
    for size, area, blur, solarize in (
        (224, (0.2, 1.0), 1.0, 0.0),
        (224, (0.2, 1.0), 0.1, 0.2),
        (96, (0.05, 0.2), 1.0, 0.0),
        (96, (0.05, 0.2), 0.1, 0.2),
    )
]
