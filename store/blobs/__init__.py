"""The files of bundles, stored once by content: pieces of shared blobs (docs/decisions/0033-blobs.md)."""
