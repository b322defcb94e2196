"""What a program calls: typed functions and classes with keyword-only arguments."""
