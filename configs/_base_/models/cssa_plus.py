# The paper's method with our additions; inherit this file instead of models/cssa.py. Constructor and sources:
# cssa_mm/models/evidence.py; figures: docs/results.md. Each ingredient is a key of its own.
_base_ = 'cssa.py'
model = dict(
    evidence=dict(
        type='DiscriminantEvidence',
        anchor=0.5,  # share of CLIP's own answer beside the tuned prompts; 0: none
        discriminant=True,  # whitened class means, the covariance from unlabelled images too
        prior_count=4.0,  # the best-scored unlabelled images weigh as much as this many labelled positives
        prior_floor=2.5,  # their number follows that of the labelled positives, or this one if it is larger
        unseen_weight=0.25,  # weight of the discriminant in a class without labelled positives
        shrinkage=0.1,  # of the covariance towards a multiple of the identity
    ),
    # An image leans on what the model says of the training images that look like it (cssa_mm/models/neighbours.py).
    neighbours=dict(
        type='Neighbours',
        k=32,
        weight=0.5,  # of their mean beside the image's own reading
        shrinkage=0.2,  # of the covariance that whitens global features, towards a multiple of the identity
        max_images=4096,  # stored in the checkpoint, at most
    ),
    # One prompt a class finds and aligns: two drift apart on few labels. The flatter attention was chosen with a small
    # CLIP (docs/reconstruction.md); another tower may do better with tau_s = 20, the value of the paper's configs.
    # Prompts are a few words long and learn by plain cross-entropy. The context task brought nothing measurable.
    head=dict(shared_prompts=True, attention_temperature=5.0, prompts=dict(num_context=4)),
    context_head=None,
    loss=dict(gamma_negative=0.0, clip=0.0),
)
