"""Which requests are of the page itself: other pages that the same browser shows must not use the server.

A page elsewhere can make a browser send requests to 127.0.0.1, and a name that it owns can be made to point there (DNS
rebinding). So the name by which a request calls this server must be an address, ``localhost`` or the name that the user
gave, and what browsers say of the page that asks must be this server's own.
"""

import ipaddress
from collections.abc import Mapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")
POLICY = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; object-src 'none'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer."""


def is_local(host: str) -> bool:
    """Return whether a server at this address is for this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refusal(method: str, path: str, headers: Mapping[str, str], host: str) -> str:
    """Return why a request is not answered; empty where it is.

    Args:
      method: of HTTP.
      path: that is asked for.
      headers: by their names in lower case.
      host: the address or name that the server was started with.
    """
    called = headers.get("host", "")
    if not _is_ours(_without_port(called), host):
        return f"this server is not called {called[:80]!r}; open it as http://{host} or by its address"
    origin = headers.get("origin")
    if origin is not None and origin.split("://", 1)[-1] != called:
        return "this request comes from another page"
    site = headers.get("sec-fetch-site", "none")
    is_opened = method == "GET" and path == "/" and headers.get("sec-fetch-mode", "navigate") == "navigate"
    if site not in ("same-origin", "none") and not is_opened:
        return "this request comes from another page"
    return ""


def _without_port(called: str) -> str:
    if called.startswith("["):
        return called[1:].split("]", 1)[0]
    return called.rsplit(":", 1)[0] if ":" in called else called


def _is_ours(name: str, host: str) -> bool:
    """Return whether a name cannot be one that a stranger made to point here."""
    if name.lower() in ("localhost", host.lower()):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or not is_local(host)
