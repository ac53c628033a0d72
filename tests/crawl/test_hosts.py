"""Where a crawl may go, and what a catalogue's file may say of it."""

from ipaddress import ip_address

import pytest
from pydantic import ValidationError

from lib.crawl.polite import PublicResolver
from lib.crawl.spec import CrawlSpec, Hosts, is_private_host, is_public, split_host

PUBLIC = {"start": ["https://shop.example/sitemap.xml"], "hosts": ["shop.example"], "user_agent": "Study (a@b.example)"}


REFUSED = {
    "off host": """
        http://other.example/ http://www.shop.example/ http://shop.example.evil.example/ http://shop.example:8080/
        http://2130706433/ http://0x7f.1/ http://[::ffff:127.0.0.1]/
    """,
    "not http or https": "//shop.example/ file:///etc/passwd ftp://shop.example/ data:image/png;base64,A javascript:x",
    "credentials in the address": """
        http://user:word@shop.example/ http://shop.example@evil.example/ http://evil.example\\@shop.example/
    """,
    "not an address": "http://shop.example:port/ http://[shop.example/",
}


def test_only_hosts_that_are_named_may_be_asked():
    hosts = Hosts(["shop.example", "bücher.example", "cdn.example:8443", "[2001:DB8::1]"])
    named = """
        http://shop.example/a https://SHOP.example./a?b#c https://shop.example:443/ http://xn--bcher-kva.example/
        http://bücher.example/ https://cdn.example:8443/x.jpg http://[2001:db8::1]/
    """
    assert {hosts.refusal(address) for address in named.split()} == {None}
    for why, addresses in REFUSED.items():
        assert {hosts.refusal(address) for address in addresses.split()} == {why}
    assert hosts.refusal("") == "not http or https"


@pytest.mark.parametrize("name", ["", "http://a.example", "a.example/path", "user@a.example", "a:b", "a:99999"])
def test_a_host_is_a_name_and_perhaps_a_port(name):
    with pytest.raises(ValueError):
        split_host(name)


def test_which_addresses_are_of_the_public_internet():
    private = """
        127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 224.0.0.1 239.1.1.1
        240.0.0.1 255.255.255.255 192.0.2.1 198.18.0.1 :: ::1 fe80::1 fc00::1 fec0::1 ff02::1 ff0e::1 2001:db8::1
        ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1 2002:7f00:1:: 2002:c0a8:101::1
    """
    public = "8.8.8.8 93.184.215.14 2606:4700:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808"
    assert [address for address in private.split() if is_public(ip_address(address))] == []
    assert [address for address in public.split() if not is_public(ip_address(address))] == []


@pytest.mark.parametrize(
    "name",
    [
        *("localhost", "LOCALHOST:8000", "shop.localhost", "printer.local", "127.0.0.1:80", "127.1", "0x7f.1"),
        *("2130706433", "017700000001", "0", "[::1]", "[::ffff:7f00:1]:80", "10.0.0.1", "169.254.169.254"),
    ],
)
def test_a_host_on_this_machine_must_be_said_to_be_private(name):
    assert is_private_host(name)
    with pytest.raises(ValidationError, match="say 'private: true'"):
        CrawlSpec(**PUBLIC | {"hosts": ["shop.example", name]})


class Resolver:
    """Answers what it is given, as a name server under somebody else's rule may."""

    def __init__(self, *addresses):
        self.addresses = [type("Address", (), {"host": address})() for address in addresses]

    def resolveHostName(self, receiver, name, *args, **kwargs):
        receiver.resolutionBegan(self)
        for address in self.addresses:
            receiver.addressResolved(address)
        receiver.resolutionComplete()


class Receiver:
    def __init__(self):
        self.hosts, self.complete = [], False

    def resolutionBegan(self, resolution):
        pass

    def addressResolved(self, address):
        self.hosts.append(address.host)

    def resolutionComplete(self):
        self.complete = True


def test_of_a_names_addresses_only_public_ones_are_connected_to():
    resolver = PublicResolver(type("Reactor", (), {"nameResolver": Resolver("10.0.0.1", "8.8.8.8", "::1")})(), 0)
    resolver.resolveHostName(receiver := Receiver(), "mixed.example", 80)
    assert (receiver.hosts, receiver.complete) == (["8.8.8.8"], True)
    assert "mixed.example" not in PublicResolver.refused


def test_a_name_that_has_private_addresses_only_is_known_as_such():
    resolver = PublicResolver(type("Reactor", (), {"nameResolver": Resolver("169.254.169.254")})(), 0)
    resolver.resolveHostName(receiver := Receiver(), "rebound.example", 80)
    assert (receiver.hosts, receiver.complete) == ([], True)
    assert "rebound.example" in PublicResolver.refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": ["https://other.example/"]}, r"start has 'https://other.example/', which is refused \(off host\)"),
        ({"start": ["shop.example"]}, "not http or https"),
        ({"start": []}, "at least 1 item"),
        ({"hosts": ["https://shop.example"]}, "expected a host such as 'www.example.com'"),
        ({"user_agent": "Study"}, "must hold an e-mail or web address of yours"),
        ({"user_agent": "Study (a@b.example)\r\nCookie: x"}, "should match pattern"),
        ({"products": "("}, "should be a valid regular expression"),
        ({"follow": "["}, "should be a valid regular expression"),
        ({"requests_per_second": 0}, "greater than 0"),
        ({"max_crawl_delay": -1}, "greater than or equal to 0"),
        ({"max_photo_bytes": 2**26}, "less than or equal to 33554432"),
        ({"max_page_bytes": 2**26}, "less than or equal to 52428800"),
        ({"robot": False}, "unknown key 'robot'; .* Did you mean 'robots'?"),
    ],
)
def test_what_a_catalogue_says_wrong_of_a_crawl_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        CrawlSpec(**PUBLIC | change)


def test_a_crawl_is_polite_unless_it_is_told_otherwise():
    spec = CrawlSpec(**PUBLIC)
    assert (spec.robots, spec.throttle, spec.requests_per_second, spec.private) == (True, True, 1.0, False)
