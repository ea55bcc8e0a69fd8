# Settings with which methods of this package are methods of other libraries. MSBReg with two views, each compared with
# the target of the other, is BYOL, here by SGD as elsewhere; MPCL with one projector is its framework.
shared = {
    'BYOL': {
        'model.head.exclude_self': True,
        'model.head.lambda_c': 2.0,
        'model.head.lambda_s': 0,
        'model.head.lambda_b': 0,
        'optim_wrapper.optimizer': dict(_delete_=True, type='SGD', momentum=0.9, weight_decay=1e-4),
    },
    'MPCL': {'model.neck.num_projectors': 1},
}
