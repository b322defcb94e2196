"""Classes made rare: at most 0, 1 or 2 labelled positives of every second class."""

from cssa_mm.demo.scenes import CLASS_NAMES

config = 'cssa_demo'
# Four classes each, of all contexts, frequent ones and seldom ones.
at_most = {name: number // 2 % 3 for number, name in enumerate(CLASS_NAMES) if number % 2 == 0}
split = {'train_dataloader.dataset.split.at_most': at_most}
rows = dict(
    zero_shot=dict(title='zero-shot CLIP, label-specific', kind='zero_shot', options=split),
    labelled_only=dict(title='labelled-only prompts', config='labelled_only_demo', options=split),
    cssa=dict(title='CSSA', options=split),
    cssa_plus=dict(title='cssa_plus', config='cssa_plus_demo', options=split),
    oracle=dict(
        title='CSSA, oracle: true labels for all', options={**split, 'default_hooks.pseudo_labels.oracle': True}
    ),
)
baseline = 'labelled_only'
references = ('zero_shot', 'labelled_only')
ceiling = 'oracle'
