# MSBReg's scheme (Table 9) for images of 96 px, made on the device by BatchViews; the same for all K views. The
# paper gives no range of the crop.
view = dict(size=96, crop_scale=(0.2, 1.0), blur=1.0, solarize=0.2)
