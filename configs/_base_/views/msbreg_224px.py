# MSBReg's scheme at 224 px, one for all views (Sec. 3.2, Table 9). The paper prints no range of the crop; this is that of BYOL.
views = [dict(size=224, crop_scale=(0.08, 1.0), interpolation='bicubic', blur=1.0, solarize=0.2)]
