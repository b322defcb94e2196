"""Pages in one file each: a template, its style and script, and a function that fills them."""
