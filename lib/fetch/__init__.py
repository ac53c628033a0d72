"""`make data`: builds `data/` from pinned public sources, or from a folder that mirrors them.

content | build | __main__
"""
