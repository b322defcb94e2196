"""How far few labels carry."""

config = 'cssa_demo'
x_label = 'share of the 2,000 training images that is labelled'
# share: (labelled images in a batch of 64, warm-up epochs of about 300 steps, labelled-only epochs of the best of 100,
# 200, 400, 800, 1,600 and 3,200 steps, found with --validation 0.3).
shares = {
    0.01: (4, 300, 100),
    0.02: (4, 300, 200),
    0.05: (4, 150, 200),
    0.10: (8, 75, 100),
    0.20: (16, 43, 229),
    0.50: (32, 19, 200),
}
rows = dict(zero_shot=dict(title='zero-shot CLIP', kind='zero_shot'))
for share, (labelled, warmup, alone) in shares.items():
    split = {
        'train_dataloader.dataset.split.proportion': share,
        'train_dataloader.sampler.labelled_per_batch': labelled,
    }
    methods = {
        'labelled-only': ('labelled_only_demo', {'train_cfg.warmup_epochs': alone}),
        'CSSA': (config, {'train_cfg.warmup_epochs': warmup}),
        'cssa_plus': ('cssa_plus_demo', {'train_cfg.warmup_epochs': warmup}),
    }
    for method, (path, options) in methods.items():
        rows[f'{method}@{share}'] = dict(line=method, x=share, config=path, options={**split, **options})
baseline = 'labelled-only'
worth = 'labelled-only'
references = ('zero_shot', 'labelled-only')
