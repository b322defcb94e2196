# The demo with cssa_plus: cssa_demo.py, and what we add to the paper's method.
_base_ = 'cssa_demo.py'
model = dict(
    head=dict(shared_prompts=True),
    context_head=None,
    # The covariance of this tower's 128 features is well known from 2,000 scenes.
    evidence=dict(type='DiscriminantEvidence', shrinkage=0.002),
)
