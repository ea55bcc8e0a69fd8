# MSBReg's scheme at 224 px (Table 9), the same for all K views. The paper gives no range of the crop: BYOL's.
view = dict(size=224, crop_scale=(0.08, 1.0), interpolation='bicubic', blur=1.0, solarize=0.2)
