"""Photos behind addresses: fetched as politely as pages are, and only from hosts that the catalogue's file names."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from lib.artifacts import fingerprint
from lib.collect.mapping import Product
from lib.crawl.hosts import Hosts
from lib.crawl.process import fetch_photos, forget_others
from lib.crawl.spec import FetchSpec
from lib.errors import StudyError
from lib.records import PHOTO, Record, Reject

_SHOWN = 200  # characters of an address that a reject quotes


def with_fetched_photos(items: Iterable[Product | Reject], spec: FetchSpec, folder: Path) -> Iterator[Record | Reject]:
    """Fetch each product's photo, and yield the product as that comes; a photo that is lost is a reject that says why.

    Parameters
    ----------
    items
        The products, whose `image` is an address.
    spec
        The hosts, and how they are asked.
    folder
        Where to keep what was fetched, so that a run that was killed goes on from there.

    Raises
    ------
    StudyError
        If fetching cannot go on, or if not one photo can be had.
    """
    found, lost = 0, None
    for item in _fetched(items, spec, folder):
        if isinstance(item, Record):
            found += item.photo is not None
        elif item.of_photo:
            lost = lost or item
        yield item
    if lost and not found:
        raise StudyError(f"Not one photo could be fetched. The first: {lost.reason}: {lost.detail}.")


def _fetched(items: Iterable[Product | Reject], spec: FetchSpec, folder: Path) -> Iterator[Record | Reject]:
    hosts, waiting = Hosts(spec.hosts), dict[str, list[Record]]()
    for item in items:
        if isinstance(item, Reject):
            yield item
        elif not item.image:
            yield item.record
        elif refusal := hosts.refusal(item.image):
            yield Reject(item.record.product_id, PHOTO + refusal, item.image[:_SHOWN])
            yield item.record
        else:
            waiting.setdefault(item.image, []).append(item.record)
    if waiting:
        kept = folder / fingerprint([spec.hosts, spec.user_agent])
        forget_others(kept)
        yield from _fetch(waiting, spec, kept)


def _fetch(waiting: dict[str, list[Record]], spec: FetchSpec, folder: Path) -> Iterator[Record | Reject]:
    """Give a photo to all products that wait for it."""
    addresses = sorted(waiting)
    for found in fetch_photos(spec, addresses, folder):
        if isinstance(found, Reject):
            for record in waiting[addresses[int(found.product_id or 0)]]:
                yield Reject(record.product_id, found.reason, found.detail)
        else:
            number, photo = found
            for record in waiting[addresses[number]]:
                yield replace(record, photo=photo)
