"""Label tables: rows and columns, what each is for, and what a cell says."""
