"""The token goes to hosts on the list only, however the URL is written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbound.errors import MediaHostRefused
from media_proxy.hosts import checked

META = (".fbsbx.com", ".fbcdn.net", ".whatsapp.net")
LOOKASIDE = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&ext=2&hash=ARabc_-%2F"
LOCAL = ("http://127.0.0.1:8091",)

calm = settings(deadline=None, max_examples=200)


@pytest.mark.parametrize(
    "url",
    [
        LOOKASIDE,
        "https://lookaside.fbsbx.com",
        "https://lookaside.fbsbx.com:443/x",
        "https://LookAside.FBSBX.com/x",
        "https://fbsbx.com/x",
        "https://a.b.c.fbcdn.net/v/t1?x=[y]",
        "https://mmg.whatsapp.net/x",
        "https://lookaside.fbsbx.com/@evil.com",
        "https://lookaside.fbsbx.com?@evil.com",
    ],
)
def test_metas_hosts_are_on_metas_list(url: str) -> None:
    assert checked(url, META) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "/x",
        "//lookaside.fbsbx.com/x",
        "http://lookaside.fbsbx.com/x",
        "ftp://lookaside.fbsbx.com/x",
        "file:///etc/passwd",
        "data:text/plain,x",
        "javascript:alert(1)",
        "https:lookaside.fbsbx.com/x",
        "https:/lookaside.fbsbx.com/x",
        "https:///lookaside.fbsbx.com/x",
        "https://evilfbsbx.com/x",
        "https://fbsbx.com.evil.com/x",
        "https://fbsbx.com.evil/x",
        "https://lookaside.fbsbx.com.evil.com/x",
        "https://lookaside-fbsbx.com/x",
        "https://evil.com/.fbsbx.com",
        "https://evil.com?.fbsbx.com",
        "https://evil.com#.fbsbx.com",
        "https://evil.com/https://lookaside.fbsbx.com/",
        "https://lookaside.fbsbx.com./x",
        "https://user@lookaside.fbsbx.com/x",
        "https://user:password@lookaside.fbsbx.com/x",
        "https://lookaside.fbsbx.com@evil.com/x",
        "https://evil.com@lookaside.fbsbx.com/x",
        "https://evil.com%2F@lookaside.fbsbx.com/x",
        "https://evil.com%2F.fbsbx.com/x",
        "https://evil.com\\@lookaside.fbsbx.com/x",
        "https://evil.com\\.fbsbx.com/x",
        "https://evil.com/\\lookaside.fbsbx.com",
        "https:\\\\lookaside.fbsbx.com/x",
        "https://lookaside.fbsbx.com\\x",
        "https://lookaside.fbsbx.com#@evil.com",
        "https://lookaside.fbsbx.com:80/x",
        "https://lookaside.fbsbx.com:8443/x",
        "https://lookaside.fbsbx.com:/x",
        "https://lookaside.fbsbx.com:x/x",
        "https://lookaside.fbsbx.com:443:443/x",
        "https://lookaside.fbsbx.com:٤٤٣/x",
        "https://evil.com\t.fbsbx.com/x",
        "https://evil.com\n.fbsbx.com/x",
        "https://evil.com\r\n.fbsbx.com/x",
        "https://evil.com\0.fbsbx.com/x",
        "https://evil.com .fbsbx.com/x",
        "https://evil.com\u2044.fbsbx.com/x",
        "https://evil.com\uff0f.fbsbx.com/x",
        "https://lookaside。fbsbx。com/x",
        "https://lookaside.fb\u017fbx.com/x",
        "https://löokaside.fbsbx.com/x",
        "https://lookaside.fbsbx.com/\u202e",
        " https://lookaside.fbsbx.com/x",
        "https://lookaside.fbsbx.com/x ",
        "https://lookaside.fbsbx.com/x\n",
        "https://lookaside.fbsbx.com/x y",
        'https://lookaside.fbsbx.com/"x',
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::1].fbsbx.com/x",
        "https://[fe80::1%25.fbsbx.com]/x",
        "https://[.fbsbx.com]/x",
        "https://2130706433/x",
        "https://169.254.169.254/latest/meta-data/",
        "https://.evil.com/x",
        "https://\ud800.fbsbx.com/x",
    ],
)
def test_no_other_url_gets_the_token(url: str) -> None:
    with pytest.raises(MediaHostRefused):
        checked(url, META)


@pytest.mark.parametrize(
    "entry", ["fbsbx.com", ".fbsbx.com", ".FBSBX.com"], ids=["without dot", "with dot", "upper case"]
)
def test_a_suffix_ends_at_a_dot_however_it_is_written(entry: str) -> None:
    assert checked(LOOKASIDE, [entry]) == LOOKASIDE
    with pytest.raises(MediaHostRefused):
        checked("https://evilfbsbx.com/x", [entry])


@pytest.mark.parametrize("allowed", [(), LOCAL, (".whatsapp.net",), ("https://other.fbsbx.com",)])
def test_what_the_list_lacks_is_refused(allowed: tuple[str, ...]) -> None:
    with pytest.raises(MediaHostRefused):
        checked(LOOKASIDE, allowed)


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("http://127.0.0.1:8091/x", "http://127.0.0.1:8091"),
        ("http://127.0.0.1:8091", "http://127.0.0.1:8091/"),
        ("http://LOCALHOST:8091/x", "http://localhost:8091"),
        ("http://[::1]:8091/x", "http://[::1]:8091"),
        ("https://media.example.com:8443/x", "https://media.example.com:8443"),
        ("https://media.example.com/x", "https://media.example.com"),
    ],
)
def test_an_exact_origin_may_be_http_and_any_port(url: str, entry: str) -> None:
    assert checked(url, [*META, entry]) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:8091/x",
        "http://127.0.0.1/x",
        "http://127.0.0.1:80911/x",
        "http://127.0.0.1:8092/x",
        "http://127.0.0.1:8091@evil.com/x",
        "http://127.0.0.1:8091.evil.com/x",
        "http://x.127.0.0.1:8091/x",
        "http://localhost:8091/x",
        "http://lookaside.fbsbx.com/x",
    ],
)
def test_an_origin_opens_itself_alone(url: str) -> None:
    with pytest.raises(MediaHostRefused):
        checked(url, LOCAL)


# --- redirects ----------------------------------------------------------------------------------------------

BASE = "https://lookaside.fbsbx.com/a/b?mid=1"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/c", "https://lookaside.fbsbx.com/c"),
        ("c?x=1", "https://lookaside.fbsbx.com/a/c?x=1"),
        ("../c", "https://lookaside.fbsbx.com/c"),
        ("?mid=2", "https://lookaside.fbsbx.com/a/b?mid=2"),
        ("//scontent.fbcdn.net/c", "https://scontent.fbcdn.net/c"),
        ("https://scontent.fbcdn.net/c", "https://scontent.fbcdn.net/c"),
    ],
)
def test_a_redirect_is_resolved_against_where_it_came_from(location: str, target: str) -> None:
    assert checked(location, META, base=BASE) == target


@pytest.mark.parametrize(
    "location",
    [
        "//evil.com/c",
        "https://evil.com/c",
        "http://lookaside.fbsbx.com/c",
        "//lookaside.fbsbx.com@evil.com/c",
        "//evil.com\\@lookaside.fbsbx.com/c",
        "\\\\evil.com/c",
        "/\\evil.com/c",
        "/\t/evil.com/c",
        "\t//evil.com",
        "htt\nps://evil.com/c",
        "//lookaside.fbsbx.com:8443/c",
        "javascript:alert(1)",
        "data:,x",
        "https://[evil",
        "//[::1",
        "//]",
        "//[v1.x]/c",
        "//ex\u2100mple.com/c",
        "//\uff0fevil.com/c",
        "//evil.com:port/c",
        "/\xff",
    ],
)
def test_a_redirect_off_the_list_is_refused(location: str) -> None:
    with pytest.raises(MediaHostRefused):
        checked(location, META, base=BASE)


pieces = st.sampled_from(
    [
        *("https", "http", ":", "/", "//", "\\", "@", "?", "#", ".", "[", "]", "%", "\t", "\n", " ", "::1", ":443"),
        *("fbsbx.com", ".fbsbx.com", "evil.com", "evilfbsbx.com", "lookaside", "é", "\u2100"),
    ]
)


@calm
@given(st.lists(pieces, max_size=10).map("".join) | st.text(st.characters()), st.none() | st.just(BASE))
def test_whatever_passes_names_a_host_of_the_list_in_plain_sight(url: str, base: str | None) -> None:
    try:
        passed = checked(url, META, base=base)
    except MediaHostRefused:
        return

    scheme, _, rest = passed.partition("://")
    host = rest.replace("?", "/").partition("/")[0].removesuffix(":443")
    assert scheme == "https"
    assert passed.isascii()
    assert not set(host) & set("@\\:#[]% ")
    assert f".{host.lower()}".endswith(META)
