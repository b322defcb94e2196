"""Label-specific features of a test's own, and how large tensors get."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cssa_mm.models.label_features import LabelFeatures, LocalFeatures


def given_features(features: torch.Tensor) -> LabelFeatures:
    """Label-specific features (B, C, D) as a test wrote them: each class looks at a position of its own."""
    num_classes = features.shape[1]
    found = LabelFeatures(LocalFeatures(features), torch.zeros(num_classes, features.shape[2]), 1.0, False)
    found.weights = torch.eye(num_classes).expand(len(features), -1, -1)
    return found


class LargestTensor(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.numel = max([self.numel, *sizes])
        return result
