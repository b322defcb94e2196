# What every run needs, whatever the data and the model. It inherits nothing: mmpretrain's own base needs
# pkg_resources.
custom_imports = dict(imports=['cssa_mm'], allow_failed_imports=False)
default_scope = 'mmpretrain'
# This runner checks every key before anything is built, and it runs on machines without CUDA; also under mmpretrain's
# own tools.
runner_type = 'CSSARunner'

randomness = dict(seed=1, deterministic=False)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
model_wrapper_cfg = dict(type='MMDistributedDataParallel', broadcast_buffers=False)

# What looks wrong about the data is asked before the first step, with the key that changes it. Kinds of questions that
# are answered by 'yes, it is right': ['one_label_an_image'], or 'all', which is --yes.
accept = []

# All hooks are in one dict, so that each can be overridden by name: default_hooks.pseudo_labels.policy...
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    # Every ten steps, however short the epochs are.
    logger=dict(type='StepLoggerHook', interval=10),
    # It counts the steps that the optimiser makes.
    param_scheduler=dict(type='StepSchedulerHook'),
    # The result is the last epoch: a best epoch would have been chosen on test data. by_epoch=False counts steps, and a
    # run goes on within an epoch. Where one cannot be written, as on a full disk, training stops, or on_failed_save=
    # 'go_on' tells it and tries again at the next one.
    checkpoint=dict(type='CSSACheckpointHook', interval=1, max_keep_ckpts=2, on_failed_save='stop'),
    visualization=dict(type='LabelPictureHook', enable=False),  # test --show-dir switches it on
    # Where somebody watches the training (`live`): pseudo-labels, thresholds, and pictures of a few validation images
    # (cssa_mm/engine/live_view_hook.py).
    live_view=dict(
        type='LiveViewHook',
        interval=None,  # epochs from pictures to pictures; None draws them ten times
        num_images=4,  # 0 draws none
        image_ids=None,  # which images, in place of some that are drawn by the seed
        num_labels=6,  # most labels of a picture
        num_classes=20,  # most classes whose thresholds are shown by name, those with the most labelled positives
        seed=0,
    ),
    guard=dict(type='GuardHook'),
    # Unreadable training images are left out and named in bad_images.txt. Training stops above this share of them, but
    # tolerates a single one.
    bad_images=dict(type='BadImageHook', max_share=0.001, num_workers=4),
    # A loss or gradient that is NaN or infinite: 'stop' within that step, with a file that `cssa replay` reproduces it
    # from; or 'skip' such steps, count them, and stop after more than `most_skipped`.
    non_finite=dict(type='NonFiniteHook', action='stop', most_skipped=10),
    # Warns of classes whose pseudo-labels have collapsed for so many epochs: none is positive, or nearly all are.
    collapse=dict(type='CollapseHook', epochs=2),
    plain_checkpoint=dict(type='PlainCheckpointHook'),
    # The semi-supervised algorithm (cssa_mm/semi/semi_supervision.py).
    pseudo_labels=dict(
        type='PseudoLabelHook',
        # 'cat', 'fixed', 'top_k', 'instance_adaptive', 'mat', 'calibrated' or 'interval', with their options
        # (cssa_mm/semi/policies/): for 'cat' eta_positive=1.0 and eta_negative=0.998, for 'interval' confidence=0.8,
        # the probability that the rate of a class lies in its interval, and prior=1.0, imagined labels behind a weight.
        policy=dict(name='cat'),
        # True gives the ceiling: true labels for the unlabelled images.
        oracle=False,
        calibrate_bias=True,  # (R) the mean score of a class starts at its rate
        mask_unseen_classes=True,  # (R) classes without labelled positives stay as CLIP knows them
        context_seed=0,
        # The evidence of models/cssa_plus.py, and an 'auto' weight of centring, read at most this many labelled and
        # this many unlabelled images.
        evidence_images=2048,
        evidence_seed=0,
        # Frozen features are computed once and kept, as far as they fit; the rest is encoded each time.
        feature_cache=dict(
            gib=1.0,  # memory on each rank; 0 keeps none
            folder=None,  # files that other runs share, too, as large as the disk allows; gib does not bound them
            dtype='float32',  # or 'float16', in half the space
            partial=True,  # False refuses where not all fits
            # Where training augments: this many strong views of each image, drawn and encoded once. 0 draws new ones
            # in each epoch, as the paper does, and the tower encodes them.
            strong_views=0,
        ),
        batch_size=64,
        num_workers=2,
    ),
    # After the last epoch, calibration and thresholds for the checkpoint (cssa_mm/engine/calibration_hook.py), from
    # labels that the scores did not see: the training is done again for each fold, on kept features.
    calibration=dict(
        type='CalibrationHook',
        rule='f1',  # or 'rate', 'one' threshold for all classes, or 'none': .5 on raw scores
        folds=3,  # 0: raw scores and the rule 'rate'
        min_positives=10,  # a class with fewer labelled positives is named
        seed=0,
    ),
)
# `test --tta` averages the 'logits' or 'scores' of several views of an image, then calibrates and chooses labels.
tta_model = dict(type='AverageViewsTTA', average='logits')
# Two sizes, and their mirror images, in about five times the time of a test. A ScaledView is the `view` with sides that
# are `factor` times as long, rounded to a multiple of stride=32; a tower that takes images of one size alone needs the
# first one only. docs/results.md has figures.
tta_pipeline = [
    dict(type='LoadRGBImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='ScaledView', factor=1.0), dict(type='ScaledView', factor=1.25)],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='PackInputs', meta_keys=('image_id', 'img_path', 'ori_shape', 'img_shape', 'flip'))],
        ],
    ),
]
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
# Services that show a training while it runs, beside these files: ['tensorboard'], which `train --tensorboard` sets,
# 'wandb', 'mlflow', 'clearml', 'neptune', 'dvclive' or 'aim'. Each needs its package.
live = []
log_processor = dict(window_size=10)
log_level = 'INFO'
# After training, report.html in the work directory: one page of classes, images, labels that may be wrong, curves.
# Scoring the test images for it (at most 5,000) takes as long as a validation of them. Studies write none.
report = True
# A checkpoint that training starts from: its prompts, temperature and teacher are kept, and all that rests on labels is
# made anew from those of this run. False keeps the prompts of the classes of the same name where classes differ.
load_from = None
strict_classes = True
resume = False
# A new training in a work directory that has checkpoints of another config: 'refuse' it; 'overwrite' them, which
# removes them when the first new one is written; or train in a 'new' directory beside it, NAME_2. Those of the same
# config are overwritten.
on_used_work_dir = 'refuse'
