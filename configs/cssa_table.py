# cssa_plus on your own photos: a few dozen with labels, hundreds or thousands without. For the paper's method, inherit
# '_base_/models/cssa.py' instead of '_base_/models/cssa_plus.py'.
_base_ = ['_base_/datasets/table.py', '_base_/models/cssa_plus.py', '_base_/schedules/cssa.py', '_base_/runtime.py']
# An epoch of the warm-up is one step where at most 32 photos are labelled. One test, after the last epoch.
train_cfg = dict(semi_epochs=10, val_begin=1, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=10))
