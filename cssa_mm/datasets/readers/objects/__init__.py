"""Label files of objects: boxes, regions and tags of an image."""
