"""Serve the API without workers: `python -m api`, with settings from the environment.

`python -m api --fd N` serves on an inherited socket. `limbeck serve` uses it: the parent process keeps the socket open,
so that clients wait instead of being refused while this process restarts.
"""

import argparse
import socket

from limbeck.shared.parts import exit_if_part_is_missing


def main() -> None:
    """Serve with settings from the environment."""
    parser = argparse.ArgumentParser(prog="python -m api", description="Serve the API without workers.")
    parser.add_argument("--fd", type=int, help="file descriptor of a listening socket, instead of host and port")
    fd = parser.parse_args().fd
    with exit_if_part_is_missing("python -m api"):
        from api import transport_security
        from api.server import serve
        from distill.data.files.regular_files import confine_to
        from store import migrate
        from store.db import Database
        from store.settings import Settings
        from store.upkeep.startup import exit_if_misconfigured, warn_of_unknown_settings
        from store.uploads import places

    with exit_if_misconfigured("python -m api"):
        settings = Settings()
        warn_of_unknown_settings("python -m api", settings)
        database = Database(settings.database)
        transport_security.check_certificate(settings)
        transport_security.trusted_proxies(settings)
        migrate.check(database)
    confine_to(*places.roots(settings))
    serve(settings, socket.socket(fileno=fd) if fd is not None else None, database)


if __name__ == "__main__":
    main()
