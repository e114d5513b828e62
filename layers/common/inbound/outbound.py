"""How we ask others over HTTP: with nothing of the environment, of earlier answers, or of where an answer points to."""

from http.cookiejar import DefaultCookiePolicy

import requests
import urllib3

# Meta turns down clients without a product-like agent.
USER_AGENT = "whatsapp-inbound-media/1.0"


# What a request may raise, before and while its answer is read. All of requests' own are OSErrors.
NETWORK_FAULTS = (urllib3.exceptions.HTTPError, OSError)


class Session(requests.Session):
    """A session that leaves redirects, proxies, password files and cookies alone.

    requests reads a redirect's body and parses where it leads to even when it is told not to follow; both are a
    stranger's, and ours to judge.
    """

    def __init__(self) -> None:
        super().__init__()
        # A .netrc or proxy of the environment must never see or replace a token.
        self.trust_env = False
        # Nor may a cookie of one tenant's answer go with another tenant's request.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Give no target, so that nothing is made of it."""
