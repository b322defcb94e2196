"""The embedded default: scenes, their data set, a CLIP made for them, and the quickstart."""
