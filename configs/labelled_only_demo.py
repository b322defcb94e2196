# Labelled-only on the demo: cssa_demo.py without unlabelled scenes and without the context task. 200 passes of two
# steps: the best number on validation scenes (docs/results.md).
_base_ = 'cssa_demo.py'
model = dict(context_head=None)
train_cfg = dict(warmup_epochs=200, semi_epochs=0, val_begin=40, val_interval=40)
default_hooks = dict(checkpoint=dict(interval=50))
