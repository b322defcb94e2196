"""Readers of label files, one a format."""
