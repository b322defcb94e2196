"""How many contexts, found how, as the paper's auxiliary task or fed back into the logits."""

config = 'cssa_demo'
x_label = 'number of contexts K'
rows = dict(none=dict(title='no context task', options={'model.context_head': None}))
for method in ('spectral', 'kmeans', 'agglomerative'):
    for number in (2, 3, 4, 5, 6, 8, 10, 12):
        options = {'model.context_head.method': method, 'model.context_head.num_contexts': number}
        rows[f'{method}@{number}'] = dict(line=method, x=number, options=options)
for number in (2, 3, 4, 5, 6, 8, 10, 12):
    options = {'model.context_head.feedback': True, 'model.context_head.num_contexts': number}
    rows[f'feedback@{number}'] = dict(line='spectral, fed back', x=number, options=options)
for affinity in ('jaccard', 'cosine', 'count'):
    for number in (2, 5, 12):
        options = {'model.context_head.affinity': affinity, 'model.context_head.num_contexts': number}
        rows[f'{affinity}@{number}'] = dict(line=f'spectral, {affinity}', x=number, options=options)
baseline = 'none'
