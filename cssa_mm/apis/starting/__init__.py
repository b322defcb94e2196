"""From a folder of photos to labels, as far as its labels allow."""
