"""A model that leaves: ONNX, a torch program, int8, a folder for the hub."""
