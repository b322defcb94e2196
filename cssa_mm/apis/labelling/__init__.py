"""Parts of the loop with people: which photos are worth a label, and the pages and tables that they are labelled in."""
