"""TLS of the API, proxies in front of it, and the warning if keys travel in plain text."""

import ipaddress
import ssl
import sys

from api.auth import is_loopback
from store.errors import SettingInvalid
from store.settings import Settings


def check_certificate(settings: Settings) -> None:
    """Check that certificate and private key can be used together. Raises SettingInvalid."""
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingInvalid("LIMBECK_TLS_CERT and LIMBECK_TLS_KEY belong together: set both, or neither")
    if settings.tls_cert is None:
        return
    for name, path in (("LIMBECK_TLS_CERT", settings.tls_cert), ("LIMBECK_TLS_KEY", settings.tls_key)):
        try:
            with open(str(path), "rb"):
                pass
        except OSError as error:
            raise SettingInvalid(f"{name}: {path} cannot be read: {error.strerror}") from None
    try:
        # The password is empty, because a process that starts by itself cannot ask for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise SettingInvalid(
            "LIMBECK_TLS_CERT and LIMBECK_TLS_KEY are no certificate chain and private key that belong together, in "
            f"PEM and without a password: {reason}"
        ) from None


def trusted_proxies(settings: Settings) -> list[str]:
    """The addresses and networks of the setting. Raises SettingInvalid."""
    found = [one.strip() for one in settings.trusted_proxies.split(",") if one.strip()]
    for one in found:
        try:
            ipaddress.ip_network(one)
        except ValueError as error:
            raise SettingInvalid(f"LIMBECK_TRUSTED_PROXIES: {error}") from None
    return found


def warn_of_plain_text(settings: Settings) -> None:
    """Print a line if other machines reach the service without TLS, unless the operator allows it."""
    name, address = ("LIMBECK_BIND", settings.bind) if settings.bind else ("LIMBECK_HOST", settings.host)
    if is_loopback(address) or settings.tls_cert is not None or settings.allow_plain_http:
        return
    print(
        f"limbeck: {name}={address} is reachable from other machines without TLS: keys travel in plain "
        "text. Set LIMBECK_TLS_CERT and LIMBECK_TLS_KEY; or, behind a proxy with TLS or in a private network, "
        "LIMBECK_ALLOW_PLAIN_HTTP=true",
        file=sys.stderr,
    )
