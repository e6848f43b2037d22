"""What kd-teachers uses of transformers that is not public; tests/test_compat.py notices its changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import nn

INSTALLED: Final = "_output_capturing_hooks_installed"


def install_again(model: nn.Module) -> bool:
    """Let transformers set the hooks again with which it returns hidden states; whether it had set them.

    It sets them in the first pass. A copy without hooks, on which kd measures shapes, still has the note that they
    are set.
    """
    noted = [module for module in model.modules() if getattr(module, INSTALLED, False)]
    for module in noted:
        setattr(module, INSTALLED, False)
    return bool(noted)
