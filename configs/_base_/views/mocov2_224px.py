# MoCo v2's scheme at 224 px (Chen et al. 2020, arXiv:2003.04297), the same for both views.
views = [dict(size=224, crop_scale=(0.2, 1.0), saturation=0.4, blur=0.5)] * 2
