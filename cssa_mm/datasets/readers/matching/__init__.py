"""Which images of a folder the rows of a label file mean."""
