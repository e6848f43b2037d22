"""Whose a class is, for messages."""

from __future__ import annotations

from kdcore.features.timm import TimmAdapter
from kdcore.plugins.owner import owned


def test_a_declared_class_is_named_with_its_plugin():
    assert owned("adapter", TimmAdapter()).startswith("adapter of plugin kdcore ")


def test_other_classes_are_not():
    assert owned("adapter", object()) == "adapter"


def test_a_subclass_is_not_its_base_classs_plugin():
    class Own(TimmAdapter):
        """Of a user."""

    assert owned("adapter", Own()) == "adapter"
