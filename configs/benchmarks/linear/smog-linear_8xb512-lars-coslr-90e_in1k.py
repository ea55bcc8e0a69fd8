# SMoG's linear evaluation on ImageNet (Sec. 4.1). The paper names the protocols of MoCo, SimCLR, BYOL, SwAV and others,
# and prints no numbers. LEWEL_M's recipe is our choice: mmpretrain evaluates SimCLR, BYOL and SwAV by one like it
# (LARS, cosine, batch 4,096, 90 epochs, half the rate), and the steps of LARS do not depend on the scale of the
# features.
_base_ = './lewel-m-linear_8xb512-lars-coslr-90e_in1k.py'
