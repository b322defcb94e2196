# (R) 12 passes over the labelled images, then 28 over the unlabelled ones; AdamW with a cosine. In place of one or both
# numbers, max_epochs=N is that of both phases, of which a share of .3 is over the labelled images.
# dynamic_intervals=[(30, 1)] changes val_interval from epoch 30 on.
train_cfg = dict(type='SemiSupervisedTrainLoop', warmup_epochs=12, semi_epochs=28, val_begin=13, val_interval=4)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(
    accumulative_counts=1,  # k: a step on k batches, which is that on one of k times the size
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.0),
    # Scalars need a higher rate than prompt vectors.
    paramwise_cfg=dict(
        custom_keys={
            'head.bias': dict(lr_mult=20.0),
            'head.log_temperature': dict(lr_mult=20.0),
            'context_head': dict(lr_mult=10.0),
            # (R) The finding prompt learns through the attention alone; AdamW would scale up its faint gradient.
            'semantic_prompts': dict(lr_mult=0.3),
        }
    ),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, eta_min_ratio=0.01)]
