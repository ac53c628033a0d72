"""A polite crawler that collects what product pages say of themselves in schema.org's terms.

`process` runs it in a process of its own (`python -m lib.crawl SPEC.json`), because its event loop has no place in a
notebook's kernel, and reads what it tells. `spec` says what to crawl, what it may cost and where it may go; `products`
are pure functions from a page's bytes to products.

spec, products | process | polite | spider | __main__
"""
