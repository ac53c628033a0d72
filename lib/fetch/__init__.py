"""`make data`: builds `data/` from pinned public sources, or from a folder that mirrors them.

`__main__` says what is built of what and downloads it, `content` brings it into one form.
"""
