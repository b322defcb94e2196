# The embedded demo: a warm-up epoch is two steps, so 300 steps, then 12 x 32.
train_cfg = dict(type='SemiSupervisedTrainLoop', warmup_epochs=150, semi_epochs=12, val_begin=150, val_interval=3)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(
    accumulative_counts=1,  # batches of the loader in a step
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.0),
    paramwise_cfg=dict(
        custom_keys={
            'head.bias': dict(lr_mult=10.0),
            'head.log_temperature': dict(lr_mult=20.0),
            'context_head': dict(lr_mult=5.0),
            'semantic_prompts': dict(lr_mult=0.3),
        }
    ),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, eta_min_ratio=0.01)]
