# Labelled-only on your own photos, a baseline for cssa_table.py: without unlabelled photos and without the additions of
# cssa_plus. Prompts, temperature and loss are the same.
_base_ = ['_base_/datasets/table.py', '_base_/models/cssa.py', '_base_/schedules/cssa.py', '_base_/runtime.py']
model = dict(
    head=dict(attention_temperature=5.0, prompts=dict(num_context=4)),
    context_head=None,
    loss=dict(gamma_negative=0.0, clip=0.0),
)
train_dataloader = dict(dataset=dict(include_unlisted=False))
train_cfg = dict(semi_epochs=0, val_begin=1, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=12))
