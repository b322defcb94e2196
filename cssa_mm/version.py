"""The version of the package; setup.py and `cssa --version` read this line without importing anything."""

__version__ = '0.1.0'
