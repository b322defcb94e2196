"""The micro-CLIP of the embedded demo: configuration, weights, vocabulary and the recipe that made them."""

from __future__ import annotations

from pathlib import Path

MODEL_NAME = 'cssa-demo-rn'
MODEL_DIR = Path(__file__).resolve().parent
WEIGHTS = MODEL_DIR / 'cssa_demo_rn.safetensors'
VOCABULARY = MODEL_DIR / 'bpe_demo.txt.gz'
