"""Private parts of other libraries: each test fails when the library changes what kd-export relies on."""

from __future__ import annotations

import inspect

from kd_export import compat
from timm.models import push_to_hf_hub


def test_the_page_of_a_model_is_what_timm_pushes():
    text = compat.hub_readme({"license": "mit", "description": "A student."}, "kd-student")
    assert text.startswith("---\n")
    assert "license: mit" in text
    assert "# Model card for kd-student" in text
    assert "A student." in text
    assert "generate_readme(" in inspect.getsource(push_to_hf_hub)
