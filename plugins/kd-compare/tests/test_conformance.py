"""The plugin, its command and its launcher keep the rules of kdcore's conformance kit."""

from __future__ import annotations

import pytest
from kd_compare import local
from kd_compare.fork_client import ForkServerClient
from kd_dev.testing import Check, command_checks, launcher_checks, parametrize_with_checks, plugin_checks


@parametrize_with_checks([*plugin_checks("kd-compare"), *command_checks("compare")])
def test_the_plugin_and_its_command(check: Check):
    check()


@pytest.fixture(scope="module")
def servers() -> list[ForkServerClient]:
    """The last fork server: each imports torch and timm, so the checks share one."""
    return []


@parametrize_with_checks(launcher_checks("local"))
def test_the_launcher(check: Check, servers, monkeypatch: pytest.MonkeyPatch):
    def server(environment, log):
        if not servers or servers[0].gone:
            servers[:] = [ForkServerClient(environment, log)]
        servers[0].environment = environment  # differs by pytest's own variable
        return servers[0]

    monkeypatch.setattr(local, "ForkServerClient", server)
    check()
