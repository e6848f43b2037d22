from __future__ import annotations

import pytest

from kdcore.plugins import Plugins
from kdcore.plugins.known import KNOWN
from kdcore.plugins.records import ROLES


@pytest.mark.parametrize("distribution", ["kd-classic", "kd-feature", "kd-ofa"])
def test_an_installed_first_party_plugin_declares_only_known_names(distribution):
    infos = [info for info in Plugins.discover(strict=False).infos if info.distribution == distribution]
    if not infos or infos[0].status != "loaded":
        pytest.skip(f"{distribution} is not loaded here")
    for role in ROLES:
        for entry in infos[0].declared(role):
            assert KNOWN[role].get(entry.name) == distribution
