"""Own photos, as the README describes them: 300 photos of VOC, 30 in a label table, another draw for each seed."""

config = 'cssa_table'
own_photos = dict(source='cssa_voc_p05', photos=300, labelled=30)
min_positives = 5
rows = dict(
    # The head is that of cssa_table.
    zero_shot=dict(title='zero-shot', config='labelled_only_table', kind='zero_shot'),
    labelled_only=dict(title='labelled-only', config='labelled_only_table'),
    cssa_plus=dict(title='cssa_plus'),
)
baseline = 'zero_shot'
references = ('zero_shot', 'labelled_only')
by_seed = True
