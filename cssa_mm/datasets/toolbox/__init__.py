"""What the toolbox's own data sets and wrappers become here."""
