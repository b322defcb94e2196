# The demo with cssa_plus: the paper's method with our additions, on the tower of cssa_demo.py with its temperatures.
_base_ = ['_base_/datasets/icons.py', '_base_/models/cssa_plus.py', '_base_/schedules/demo.py', '_base_/runtime.py']
model = dict(
    class_names='IconsDataset',
    backbone=dict(model_name='cssa-demo-rn', pretrained='demo'),
    head=dict(attention_temperature=40.0, temperature=30.0, learn_temperature=False),
    # 2,000 scenes determine the covariance of this tower's 128 features well.
    evidence=dict(shrinkage=0.002, prior_count=2.0),
    context_weight=0.1,
)
# A few in a training of seconds: each fits the evidence.
default_hooks = dict(checkpoint=dict(interval=54))
