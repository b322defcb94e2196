"""mmpretrain's own tools on models and data of several labels: which run, which are mended, which are not meant."""
