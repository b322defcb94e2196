"""Frozen features: the plain view, encoding, and what was encoded once."""
