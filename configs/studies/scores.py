"""How an image is scored for a class, labelled-only and with pseudo-labels."""

config = 'configs/cssa_demo.py'
scores = dict(
    sigmoid='sigmoid with a bias',
    dual='negative prompt (DualCoOp)',
    negative_embedding='negative vector (PositiveCoOp)',
)
labelled_only = {'train_cfg.warmup_epochs': 200, 'train_cfg.semi_epochs': 0, 'model.context_head': None}
rows = dict()
for name, title in scores.items():
    score = {'model.head.score': name}
    rows[name] = dict(title=f'CSSA, {title}', options=score)
    rows[f'{name}_labelled_only'] = dict(title=f'labelled-only, {title}', options={**labelled_only, **score})
    rows[f'{name}_plus'] = dict(title=f'cssa_plus, {title}', config='configs/cssa_plus_demo.py', options=score)
baseline = 'sigmoid'
