# The method as the paper describes it, on CLIP RN50 at 224. (R) marks what the paper leaves open and we reconstructed.
# Constructors and their docstrings: cssa_mm/models/.
model = dict(
    type='CSSAClassifier',
    class_names=None,  # those of the training data; or a list, a file, or the type of a data set
    # (R) the tower; --tower NAME:TAG or NAME:PATH sets the first three. docs/towers.md tells which there are.
    backbone=dict(
        type='OpenCLIPBackbone',
        model_name='RN50-quickgelu',
        pretrained='openai',
        config_dir=None,
        # 'gelu' or 'quickgelu', whatever name and weights say. By default open_clip's table knows it for a tag; for a
        # file the name says it where there are both: ViT-B-32-quickgelu, or ViT-B-32-gelu for the plain one.
        activation=None,
        allow_torchscript=False,  # True: open OpenAI's own .pt, which holds code; better: cssa towers --convert
        dense='value',  # (R) or 'attention'
        global_token=True,  # (R) the pooled token is one of the positions
        precision='fp32',  # 'bf16', 'fp16': autocast of the tower
    ),
    head=dict(
        type='LabelAlignmentHead',
        prompts=dict(
            num_context=16,  # (R) M learned vectors before the class name
            initial_words='a photo of a',  # (R) '' starts all of them at random
            class_specific=True,
        ),
        label_specific=True,  # False: the global feature
        shared_prompts=False,  # True: one prompt to find and to align
        renormalise=True,  # (R) False: evidence-guided pooling
        attention_temperature=20.0,  # (R) tau_s
        temperature=20.0,  # (R) tau_c at the start
        learn_temperature=True,  # (R)
        score='sigmoid',  # (R) or 'dual', 'negative_embedding'
        bias=True,  # (R)
        # Takes an image's offset out of its similarities (ours), for towers that were trained with a softmax.
        centring=dict(
            weight=0.0,  # 0: off; 'auto', fitted to the training images without their labels; or a number up to 1
            vocabulary=None,  # a list of words or a file of them; None: common nouns
        ),
    ),
    context_head=dict(
        type='ContextHead',
        num_contexts=6,
        input='features',  # (R) or 'logits'
        target='multi',  # (R) or 'single'
        affinity='conditional',  # (R) or 'jaccard', 'cosine', 'count'
        method='spectral',  # or 'kmeans', 'agglomerative'
        feedback=False,  # True: the contexts speak for or against classes in the logits (ours)
    ),
    # (R) the sum over the cells of the global batch, as CAP has it; or 'mean', 'batch_mean'. A loss of mmpretrain takes
    # its place, with 'mean' by default: loss=dict(_delete_=True, type='CrossEntropyLoss', use_sigmoid=True).
    loss=dict(type='MaskedAsymmetricLoss', gamma_negative=4.0, gamma_positive=0.0, clip=0.05, reduction='sum'),
    unlabelled_weight=1.0,  # (R) lambda_u
    context_weight=1.0,  # (R) lambda_c
    ema=dict(decay=0.9997, warm_up=True),  # (R)
)
