"""Scrapy's settings: polite, watchful, and silent about itself."""

from pathlib import Path
from typing import Any

from lib.crawl.hosts import split_host
from lib.crawl.spec import CrawlSpec

_OFF = ("COOKIES", "REFERER", "METAREFRESH", "HTTPPROXY", "TELNETCONSOLE", "REMOTE_CONTROL", "MEMUSAGE")
_UNUSED = ("logstats.LogStats", "feedexport.FeedExporter", "closespider.CloseSpider", "spiderstate.SpiderState")


def make_settings(spec: CrawlSpec, folder: Path) -> dict[str, Any]:
    """Return the settings for a crawl whose cache is in `folder`.

    Of Scrapy's parts those are off that would talk to others, follow what we do not (proxies, whose addresses nobody
    checks, and cookies), or only cost time.
    """
    delay = 1 / spec.requests_per_second if spec.requests_per_second else 0.0
    return {
        **{f"{part}_ENABLED": False for part in _OFF},
        **_politeness(spec, delay),
        "DOWNLOAD_HANDLERS": dict.fromkeys(("file", "ftp", "s3", "data")),
        "DOWNLOADER_MIDDLEWARES": _middlewares(),
        "DOWNLOADER_STATS": False,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "EXTENSIONS": dict.fromkeys(f"scrapy.extensions.{name}" for name in _UNUSED),
        # The latter drops what is longer than 2,083 characters without a word to anybody, and products wait for photos.
        "SPIDER_MIDDLEWARES": dict.fromkeys(
            f"scrapy.spidermiddlewares.{name}" for name in ("depth.DepthMiddleware", "urllength.UrlLengthMiddleware")
        ),
        "HTTPCACHE_ENABLED": True,
        "HTTPCACHE_DIR": str(folder.resolve()),
        "HTTPCACHE_EXPIRATION_SECS": spec.cache_hours * 3600,
        "HTTPCACHE_STORAGE": "lib.crawl.cache.Storage",
        "HTTPCACHE_POLICY": "lib.crawl.cache.Lasting",
        **({} if spec.private else {"TWISTED_DNS_RESOLVER": "lib.crawl.guard.PublicResolver"}),
        "CRAWL_HOSTS": spec.hosts,
        "CRAWL_RETRY_SECONDS": spec.retry_seconds,
        "LOG_LEVEL": "WARNING",
        "STATS_DUMP": False,
    }


def _politeness(spec: CrawlSpec, delay: float) -> dict[str, Any]:
    return {
        "USER_AGENT": spec.user_agent,
        "ROBOTSTXT_OBEY": spec.robots,
        "AUTOTHROTTLE_ENABLED": spec.throttle,
        "AUTOTHROTTLE_START_DELAY": max(delay, 1.0),
        "AUTOTHROTTLE_TARGET_CONCURRENCY": float(spec.concurrent_requests),
        "DOWNLOAD_DELAY": delay,
        # more may wait for a second try than may be under way
        "CONCURRENT_REQUESTS": 4 * spec.concurrent_requests * len(spec.hosts),
        "DOWNLOAD_SLOTS": {split_host(name)[0]: {"concurrency": spec.concurrent_requests} for name in spec.hosts},
        # how many connections stay open: more, for one that is free again is known as such only a moment later
        "CONCURRENT_REQUESTS_PER_DOMAIN": 2 * spec.concurrent_requests,
        "CONCURRENT_ITEMS": 1,  # Scrapy makes so many tasks for each response
        "DOWNLOAD_TIMEOUT": spec.timeout_seconds,
        "DOWNLOAD_MAXSIZE": spec.max_page_bytes,
        "RETRY_GIVE_UP_LOG_LEVEL": "DEBUG",  # it is told as a reject
        "RETRY_TIMES": spec.retries,
        "REDIRECT_MAX_TIMES": spec.max_redirects,
    }


def _middlewares() -> dict[str, int | None]:
    theirs, ours = "scrapy.downloadermiddlewares", "lib.crawl.guard"
    return {
        f"{ours}.HostsMiddleware": 10,
        f"{theirs}.offsite.OffsiteMiddleware": None,
        f"{theirs}.robotstxt.RobotsTxtMiddleware": None,
        f"{ours}.RobotsMiddleware": 100,
        f"{theirs}.retry.RetryMiddleware": None,
        f"{ours}.PatientMiddleware": 550,
        f"{theirs}.redirect.RedirectMiddleware": None,
        f"{ours}.CircleMiddleware": 600,
        f"{theirs}.httpauth.HttpAuthMiddleware": None,
    }
