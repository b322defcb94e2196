"""What a large label space costs: the 24 classes of the demo among names that no scene shows."""

config = 'cssa_demo'
x_label = 'number of classes'
rows = dict()
for more in (0, 76, 476, 976, 1976, 4976):
    # A tenth of the usual number of steps: what counts is a step.
    options = {
        'train_cfg.warmup_epochs': 15,
        'train_cfg.semi_epochs': 1,
        'train_dataloader.dataset.distractors': more,
        'test_dataloader.dataset.distractors': more,
        'model.class_names': dict(type='IconsDataset', distractors=more, _delete_=True),
    }
    if more > 500:
        options['model.head.prompts.chunk_size'] = 500
    rows[f'cssa@{24 + more}'] = dict(line='CSSA', x=24 + more, options=options)
    rows[f'cssa_plus@{24 + more}'] = dict(line='cssa_plus', x=24 + more, config='cssa_plus_demo', options=options)
baseline = 'CSSA'
since_first = True
