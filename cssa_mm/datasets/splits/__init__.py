"""Labelled/unlabelled splits: rules, files, and the option of a data set."""
