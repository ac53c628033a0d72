"""`make data`: builds `data/` from pinned public sources, or from a folder that mirrors them.

download | fashion, weights | build | __main__
"""
