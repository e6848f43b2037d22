"""Seeds for the run's parts, each a function of the run's seed and the part's name, so that none disturbs another."""

from __future__ import annotations

from hashlib import blake2b


def derive(seed: int, *key: str | int) -> int:
    """A 63-bit seed for `key`, independent between keys."""
    digest = blake2b(repr((seed, *key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
