"""The choices that the paper leaves open, one changed at a time."""

config = 'cssa_demo'
finder = 'optim_wrapper.paramwise_cfg.custom_keys.semantic_prompts.lr_mult'
changes = {
    'cssa': ('as configured', {}),
    'no_bias': ('no bias', {'model.head.bias': False}),
    'uncalibrated_bias': ('bias starts at 0', {'default_hooks.pseudo_labels.calibrate_bias': False}),
    'taught_unseen': (
        'classes without positives are taught negatives',
        {'default_hooks.pseudo_labels.mask_unseen_classes': False},
    ),
    'no_renormalise': ('features not renormalised', {'model.head.renormalise': False}),
    'shared_prompts': ('one prompt finds and aligns', {'model.head.shared_prompts': True}),
    'no_global_token': ('no global token', {'model.backbone.global_token': False}),
    'dense_attention': ('each position attends', {'model.backbone.dense': 'attention'}),
    'still_finder': ('the finding prompt stays as it is', {finder: 0.0}),
    'slower_finder': ('the finding prompt learns at a tenth', {finder: 0.1}),
    'equal_finder': ('the finding prompt learns as fast', {finder: 1.0}),
    'attention_20': ('tau_s 20', {'model.head.attention_temperature': 20.0}),
    'attention_80': ('tau_s 80', {'model.head.attention_temperature': 80.0}),
    'temperature_15': ('tau_c 15', {'model.head.temperature': 15.0}),
    'temperature_60': ('tau_c 60', {'model.head.temperature': 60.0}),
    'learned_temperature': ('tau_c learned', {'model.head.learn_temperature': True}),
    'no_ema': ('no averaging', {'model.ema.decay': 0.0}),
    'ema_no_warm_up': ('averaging without warm-up', {'model.ema.warm_up': False}),
    'context_logits': ('context head reads logits', {'model.context_head.input': 'logits'}),
    'context_single': ('one context an image', {'model.context_head.target': 'single'}),
    'context_weight_1': ('lambda_c 1', {'model.context_weight': 1.0}),
    'no_context': ('no context task', {'model.context_head': None}),
    'unlabelled_half': ('lambda_u .5', {'model.unlabelled_weight': 0.5}),
    'unlabelled_double': ('lambda_u 2', {'model.unlabelled_weight': 2.0}),
    'lr_half': ('half the learning rate', {'optim_wrapper.optimizer.lr': 1e-3}),
    'lr_double': ('twice the learning rate', {'optim_wrapper.optimizer.lr': 4e-3}),
    'more_epochs': ('24 semi-supervised epochs', {'train_cfg.semi_epochs': 24}),
    'gamma_2': ('asymmetric loss, gamma- 2', {'model.loss.gamma_negative': 2.0, 'model.loss.clip': 0.05}),
    'gamma_4': ('asymmetric loss, gamma- 4', {'model.loss.gamma_negative': 4.0, 'model.loss.clip': 0.05}),
}
rows = {name: dict(title=title, options=options) for name, (title, options) in changes.items()}
baseline = 'cssa'
