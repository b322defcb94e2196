"""Predict many images: where they are, how they are loaded, shards that survive a kill, and what is written."""
