"""Frozen features: the plain view, encoding, the cache, and maps of the classes."""
