# For losses that are not bounded: MSBReg's L_s is of fourth order in the embeddings, and with SGD at 0.1 it ends at
# infinity within 12 to 25 iterations. LARS takes steps in proportion to the weights. Unlike in MSBReg's recipes norms and
# biases are adapted, too, there is no warm-up, and the weight decay is a tenth. Its rate is the better of 1 and 3 for
# BYOL in 6 epochs (49.9 and 56.9 % with seed 0; SGD at 0.1 had 52.2).
_base_ = './garment-scenes_24e.py'
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='lewel_plugins.LARS', lr=3.0, momentum=0.9, weight_decay=1e-6),
)
