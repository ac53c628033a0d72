"""Where a crawl may go: to the hosts that its catalogue names, at public addresses only, over HTTP only."""

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

_PORTS = {"http": 80, "https": 443}
_NAT64 = range(0x0064_FF9B << 96, (0x0064_FF9B << 96) + 2**32)  # 64:ff9b::/96, which embeds IPv4


class Hosts:
    """The hosts that a catalogue names, each as `name` or `name:port`.

    Examples
    --------
    >>> hosts = Hosts(["shop.example", "127.0.0.1:8000"])
    >>> hosts.refusal("https://SHOP.example/a"), hosts.refusal("http://127.0.0.1:8000/")
    (None, None)
    >>> hosts.refusal("https://shop.example:8443/"), hosts.refusal("file:///etc/passwd")
    ('off host', 'not http or https')
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._known = {split_host(name) for name in names}

    def refusal(self, address: str) -> str | None:
        """Say why an address may not be asked for; None if it may."""
        try:
            parts = urlsplit(address)
            if parts.scheme not in _PORTS:
                return "not http or https"
            if "@" in parts.netloc:
                return "credentials in the address"
            return None if self._is_known(parts) else "off host"
        except ValueError:
            return "not an address"

    def _is_known(self, parts: SplitResult) -> bool:
        usual = _PORTS[parts.scheme]
        name, port = _canonical(parts.hostname or ""), usual if parts.port is None else parts.port
        return (name, port) in self._known or (port == usual and (name, None) in self._known)


def split_host(name: str) -> tuple[str, int | None]:
    """Split a host as a catalogue's file names it into name and port.

    Raises
    ------
    ValueError
        If it is anything but a name with or without a port.

    Examples
    --------
    >>> split_host("Shop.Example:8080"), split_host("[::1]:80")
    (('shop.example', 8080), ('::1', 80))
    """
    parts = urlsplit(f"//{name}")
    if parts.netloc != name or "@" in name or not parts.hostname:
        raise ValueError(f"expected a host such as 'www.example.com' or 'localhost:8000', got '{name}'")
    return _canonical(parts.hostname), parts.port


def _canonical(name: str) -> str:
    """Write a name in lower case, in ASCII, and without a final dot."""
    name = name.lower().rstrip(".")
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a host's name spells in any way that systems understand, if it is no name.

    >>> [str(literal_address(host)) for host in ("127.1", "0x7f000001", "2130706433", "0177.0.0.1", "shop.example")]
    ['127.0.0.1', '127.0.0.1', '127.0.0.1', '127.0.0.1', 'None']
    """
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    if re.fullmatch(r"[0-9a-fx.]+", host, re.IGNORECASE):
        try:
            return IPv4Address(socket.inet_aton(host))
        except OSError:
            pass
    return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public internet: not of this machine, a private network, a link or a group.

    >>> [is_public(ip_address(name)) for name in ("8.8.8.8", "169.254.169.254", "::ffff:10.0.0.1")]
    [True, False, False]
    """
    if isinstance(address, IPv6Address):
        if int(address) in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if inner:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_private_host(name: str) -> bool:
    """Whether a catalogue names a host that is plainly of this machine or of a private network."""
    host, _ = split_host(name)
    literal = literal_address(host)
    if literal is not None:
        return not is_public(literal)
    return host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa"))
