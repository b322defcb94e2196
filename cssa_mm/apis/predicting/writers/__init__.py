"""What is written of predicted images, a file a format: each writer streams its rows and writes whole or not at all."""
