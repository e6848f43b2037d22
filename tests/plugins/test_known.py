from __future__ import annotations

import pytest

from kdcore.plugins import Plugins
from kdcore.plugins.known import known_names, packages
from kdcore.plugins.roles import ROLES


@pytest.mark.parametrize("distribution", sorted(packages()))
def test_an_installed_first_party_plugin_declares_exactly_the_known_names(distribution):
    infos = [info for info in Plugins.discover(strict=False).infos if info.distribution == distribution]
    if not infos or infos[0].status != "loaded":
        pytest.skip(f"{distribution} is not loaded here")
    for kind, role in ROLES.items():
        known = {name for name, package in known_names(role).items() if package == distribution}
        assert known == {entry.name for entry in infos[0].declared(kind)}
