"""Studies: rows of settings x seeds on shared frozen features, with statistics, tables and pictures."""
