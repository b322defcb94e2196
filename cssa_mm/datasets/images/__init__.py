"""Image files: which are there, how they are decoded, and which are alike."""
