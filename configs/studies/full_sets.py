"""The paper's twelve settings: COCO, VOC and NUS-WIDE with 5, 10, 15 and 20 % labelled."""

config = 'cssa_voc_p05'
x_label = 'share of the training photos that is labelled'
labelled_only = {'train_cfg.semi_epochs': 0, 'model.context_head': None}
rows = dict()
# Labelled images in a batch at 5 %; cssa reproduce runs the rows of each data set, DATA_*, with its own data root.
for data, title, labelled in (('coco', 'COCO', 4), ('voc', 'VOC', 2), ('nus', 'NUS-WIDE', 4)):
    for number, share in enumerate((0.05, 0.10, 0.15, 0.20), 1):
        setting, plus = f'cssa_{data}_p{round(100 * share):02}', f'cssa_plus_{data}_p05'
        split = {
            'train_dataloader.dataset.split.proportion': share,
            'train_dataloader.sampler.labelled_per_batch': number * labelled,
        }
        methods = {
            'zero-shot': dict(config=setting, kind='zero_shot'),
            'labelled-only': dict(config=setting, options=labelled_only),
            'CSSA': dict(config=setting),
            'cssa_plus': dict(config=plus, options=split),
        }
        for method, row in methods.items():
            baseline = f'{title}, labelled-only'
            rows[f'{data}_{method}@{share}'] = dict(line=f'{title}, {method}', x=share, baseline=baseline, **row)
