"""Semi-supervision: splits, sampling, pseudo-labels, contexts, teacher."""
