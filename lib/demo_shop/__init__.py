"""The demo shop: a catalogue generated from a seed, with the dirt of real ones, of which the truth is known.

`world` says what exists, how often and in which words; `text` and `photos` how it is described and drawn; `products`
what the shop lists, and what is wrong with it; `pages` and `site` how that looks on the web, and `server` serves it.
`weights.safetensors` is a small image network that was trained on photos of things which the shop does not sell
(`notebooks/A1_demo_network.ipynb`).
"""

from lib.demo_shop.products import Truth, generate, truth

__all__ = ["Truth", "generate", "truth"]
