"""How many learned vectors, from which words, for each class or for all."""

config = 'cssa_demo'
x_label = 'learned vectors M'
rows = dict()
for kind, class_specific in (('class-specific', True), ('shared', False)):
    for start, words, numbers in (('words', 'a photo of a', (4, 8, 16)), ('random', '', (1, 2, 4, 8, 16))):
        for number in numbers:
            options = {
                'model.head.prompts.num_context': number,
                'model.head.prompts.initial_words': words,
                'model.head.prompts.class_specific': class_specific,
            }
            rows[f'{kind}-{start}@{number}'] = dict(line=f'{kind}, {start}', x=number, options=options)
baseline = 'class-specific-words@4'
