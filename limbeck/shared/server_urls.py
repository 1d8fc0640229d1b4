"""URLs of Postgres and Redis, and a password beside them.

In a URL, some characters of a password have to be written as `%XX`. LIMBECK_DATABASE_PASSWORD and
LIMBECK_REDIS_PASSWORD hold any password as it is, and `with_password` puts it into the URL that the drivers read.
"""

import re
from urllib.parse import quote, urlsplit

PASSWORD_REMEDY = "write special characters of the password as %XX, or set LIMBECK_{}_PASSWORD to the password as it is"
_WITH_HOST = re.compile(r"(?P<scheme>(?:postgres(?:ql)?(?:\+\w+)?|rediss?)://)(?:(?P<user>[^@/]*)@)?(?P<rest>[^@]*)")


def with_password(url: str, password: str) -> str:
    """The URL with the password, escaped; unchanged without one.

    Raises ValueError if the URL has a password already, has no user that a Postgres password belongs to, or is none of
    Postgres or Redis.
    """
    if not password:
        return url
    match = _WITH_HOST.fullmatch(url)
    if match is None:
        raise ValueError("belongs to a URL such as postgresql://USER@HOST/NAME or redis://HOST:6379/0")
    user = match["user"] or ""
    if ":" in user:
        raise ValueError("is given, and the URL has a password too: give one of the two")
    if not user and not match["scheme"].startswith("redis"):
        raise ValueError("belongs to a user, and the URL names none: postgresql://USER@HOST/NAME")
    return f"{match['scheme']}{user}:{quote(password, safe='')}@{match['rest']}"


def is_redis_url(url: str) -> bool:
    """Whether host and port can be read from a broker's URL; an unescaped `/`, `#` or `?` of a password hides them."""
    if not url:
        return True
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return "://" in url and port != 0 and "@" not in parts.path + parts.query + parts.fragment
