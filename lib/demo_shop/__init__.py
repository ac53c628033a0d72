"""The demo shop: a catalogue generated from a seed, with the dirt of real ones, of which the truth is known.

`world` says what exists and how often, `listings` what the shop lists and what is wrong with it, `text` and `photos`
how products are described and drawn. `weights.safetensors` is a small image network that was trained on photos of
things which the shop does not sell (`notebooks/A1_demo_network.ipynb`).
"""

from lib.demo_shop.listings import Truth, truth
from lib.demo_shop.writing import generate

__all__ = ["Truth", "generate", "truth"]
