"""How an image is scored for a class, labelled-only and with pseudo-labels."""

config = 'cssa_demo'
scores = dict(
    sigmoid='sigmoid with a bias',
    dual='negative prompt (DualCoOp)',
    negative_embedding='negative vector (PositiveCoOp)',
)
rows = dict()
for name, title in scores.items():
    score = {'model.head.score': name}
    rows[name] = dict(title=f'CSSA, {title}', options=score)
    rows[f'{name}_labelled_only'] = dict(title=f'labelled-only, {title}', config='labelled_only_demo', options=score)
    rows[f'{name}_plus'] = dict(title=f'cssa_plus, {title}', config='cssa_plus_demo', options=score)
baseline = 'sigmoid'
