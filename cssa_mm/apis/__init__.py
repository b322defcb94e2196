"""Programs as functions: training, testing, the quickstart."""
