"""A polite crawler that collects what product pages say of themselves in schema.org's terms.

`process` runs it in a process of its own (`python -m lib.crawl SPEC.json`), because its event loop has no place in a
notebook's kernel, and reads what it finds. `spec` says what to crawl and what it may cost; `hosts` where it may go;
`page` and `schema_org` are pure functions from a page's bytes to products.

page | syntaxes | schema_org | spec, hosts | cache, guard | spider | photo_spider | settings | process
"""
