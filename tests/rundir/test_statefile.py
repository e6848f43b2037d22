from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdcore.rundir.statefile import Damaged, read_state, write_state

plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text()
nested = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text(), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(value=nested)
def test_containers_and_plain_values_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, value: object
):
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    digest = write_state(path, value)
    assert read_state(path, digest) == value


def test_tensors_come_back_bit_equal_with_their_dtype_and_shape(tmp_path: Path):
    shared = torch.randn(4, 3)
    state = {
        "half": torch.randn(3).half(),
        "scalar": torch.tensor(7),
        "strided": torch.randn(2, 3, 5, 5).to(memory_format=torch.channels_last),
        "view": shared[:, 1],
        "same memory": shared,
        0: {"nested": [torch.arange(3), None, (1.5, torch.zeros(0))]},
    }
    path = tmp_path / "state.safetensors"
    found = read_state(path, write_state(path, state))
    for name in ("half", "scalar", "strided", "view", "same memory"):
        assert found[name].dtype == state[name].dtype
        assert torch.equal(found[name], state[name])
    assert torch.equal(found[0]["nested"][0], torch.arange(3))
    assert found[0]["nested"][2][0] == 1.5
    assert found[0]["nested"][2][1].shape == (0,)


def test_an_optimizer_goes_on_as_if_it_had_never_stopped(tmp_path: Path):
    def steps(optimizer: torch.optim.Optimizer, weight: torch.nn.Parameter, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            (weight**2).sum().backward()
            optimizer.step()

    weight = torch.nn.Parameter(torch.randn(5))
    optimizer = torch.optim.AdamW([weight], betas=(0.8, 0.9))
    steps(optimizer, weight, 3)
    path = tmp_path / "state.safetensors"
    digest = write_state(path, {"weight": weight, "optimizer": optimizer.state_dict()})
    steps(optimizer, weight, 3)

    state = read_state(path, digest)
    other = torch.nn.Parameter(state["weight"])
    resumed = torch.optim.AdamW([other])
    resumed.load_state_dict(state["optimizer"])
    steps(resumed, other, 3)
    assert torch.equal(weight, other)


def test_what_is_neither_tensor_nor_plain_is_refused_by_its_type(tmp_path: Path):
    with pytest.raises(TypeError, match="Path"):
        write_state(tmp_path / "state.safetensors", {"a": tmp_path})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("position", [0, 9, 100, -1])
def test_a_flipped_byte_anywhere_is_found(tmp_path: Path, position: int):
    path = tmp_path / "state.safetensors"
    digest = write_state(path, {"weights": torch.randn(64)})
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match="checksum"):
        read_state(path, digest)


def test_a_torn_or_missing_file_is_found(tmp_path: Path):
    path = tmp_path / "state.safetensors"
    digest = write_state(path, {"weights": torch.randn(64)})
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(Damaged, match="checksum"):
        read_state(path, digest)
    path.unlink()
    with pytest.raises(Damaged, match="cannot be read"):
        read_state(path, digest)
