"""The report of a run: what it left is gathered, its test images are scored, and a page shows both."""
