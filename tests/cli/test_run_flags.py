from __future__ import annotations

import pytest

from kdcore import UserError
from kdcore.plugin import chosen_weights


def test_chosen_weights():
    assert chosen_weights(ema=False, best=False) == "last"
    assert chosen_weights(ema=True, best=False) == "ema"
    assert chosen_weights(ema=False, best=True) == "best"


def test_both_are_refused():
    with pytest.raises(UserError, match="exclude each other"):
        chosen_weights(ema=True, best=True)
