from __future__ import annotations

import pytest
import torch
from kd_feature import DiffKD, FeatureDiffusion
from kd_feature.diffusion import Autoencoder
from kd_feature.options.generation import DiffKDOptions
from torch.nn import functional as F


def test_as_many_parameters_as_the_authors_modules():
    with torch.device("meta"):
        maps = FeatureDiffusion(512, 1024, 3)
        logits = FeatureDiffusion(1000, 1000, 1)
        modules = maps, logits, Autoencoder(512, 1024)
    assert sum(p.numel() for one in modules for p in one.parameters()) == 30_967_420


def test_the_noise_has_a_thousand_steps():
    kept = FeatureDiffusion(2, 4, 3).kept.double()
    expected = 1.0
    for step in range(1000):
        expected *= 1 - (1e-4 + (0.02 - 1e-4) * step / 999)
        if step in (0, 100, 400, 999):
            assert kept[step].item() == pytest.approx(expected, rel=1e-4)
    assert "kept" not in FeatureDiffusion(2, 4, 3).state_dict()


def test_the_second_half_of_twice_as_many_steps():
    assert FeatureDiffusion(2, 4, 3).schedule == ((400, 300), (300, 200), (200, 100), (100, 0), (0, -100))
    assert FeatureDiffusion(2, 4, 3, steps=2).schedule == ((250, 0), (0, -250))


@pytest.mark.parametrize(("kernel", "grid"), [(3, (3, 3)), (1, (1, 1))])
def test_refining_written_out(draw, kernel, grid):
    torch.manual_seed(0)
    diffusion = FeatureDiffusion(2, 8, kernel, steps=2).double().eval()
    student = draw(3, 2, *grid)
    torch.manual_seed(7)
    found = diffusion.refine(student)
    torch.manual_seed(7)
    x = diffusion.project(student)
    part = diffusion.part(x).softmax(1)[:, 0]
    noise = torch.randn(3, 8, *grid).double()
    x = torch.stack([g * s + (1 - g) * e for g, s, e in zip(part, x, noise, strict=True)])
    a = diffusion.kept.tolist()
    for time, kept, before in ((250, a[250], a[0]), (0, a[0], 1.0)):
        predicted = diffusion.predict(x + diffusion.times.weight[time][None, :, None, None])
        clean = (x - (1 - kept) ** 0.5 * predicted) / kept**0.5
        x = before**0.5 * clean + (1 - before) ** 0.5 * predicted
    torch.testing.assert_close(found, diffusion.out(x))


def test_the_noise_loss_written_out(draw):
    torch.manual_seed(0)
    diffusion = FeatureDiffusion(2, 8, 3).double().eval()
    target = draw(3, 8, 2, 2)
    torch.manual_seed(7)
    found = diffusion.noise_loss(target)
    torch.manual_seed(7)
    times, noise = torch.randint(0, 1000, (3,)), torch.randn(3, 8, 2, 2).double()
    kept = diffusion.kept[times].view(3, 1, 1, 1)
    mixed = kept.sqrt() * target + (1 - kept).sqrt() * noise
    predicted = diffusion.predict(mixed + diffusion.times.weight[times][:, :, None, None])
    torch.testing.assert_close(found, (predicted - noise).square().mean())


def test_the_autoencoder_learns_from_its_error_only(draw):
    torch.manual_seed(0)
    diffusion, autoencoder = FeatureDiffusion(2, 6, 3), Autoencoder(4, 6)
    latent, error = autoencoder(draw(2, 4, 2, 2, seed=1).float())
    refined, target, noise = diffusion(draw(2, 2, 2, 2).float(), latent)
    assert refined.shape == target.shape == (2, 6, 2, 2)
    assert not target.requires_grad
    (F.mse_loss(refined, target) + noise).backward()
    assert all(p.grad is None for p in autoencoder.parameters())
    error.backward()
    assert all(p.grad is not None for p in autoencoder.parameters())
    with pytest.raises(ValueError, match="kernel_size is 2"):
        FeatureDiffusion(2, 4, 2)


@pytest.mark.parametrize("latent", [8, None])
@pytest.mark.parametrize("pair", [("cnn", "wide"), ("cnn", "vit")], ids="-".join)
def test_the_terms(make_setup, output, step, pair, latent):
    setup = make_setup(*pair)
    distiller = DiffKD(DiffKDOptions(weight=2.0, latent_channels=latent), setup).train()
    student, teacher = output(setup.student, (4,), grad=True), output(setup.teacher, (4,), seed=1)
    state = distiller.state_dict()
    first, second = (step(distiller, student, teacher)["noise"] for _ in range(2))
    assert not torch.equal(first, second)
    distiller.load_state_dict(state)  # of before the first step: the same noise again
    terms = step(distiller, student, teacher)
    assert torch.equal(terms["noise"], first)
    assert set(terms) == {"features", "logits", "noise", "reconstruction"}
    distiller.draws.draws = 0
    generator = distiller.draws.next()
    theirs = teacher.features[4].map
    ours = F.interpolate(student.features[4].map, theirs.shape[2:], mode="bilinear")
    error = torch.zeros(())
    if latent is not None:
        theirs, error = distiller.autoencoders[0](theirs)
    refined, target, noise = distiller.of_maps[0](ours, theirs, generator)
    torch.testing.assert_close(terms["features"], 2 * F.mse_loss(refined, target))
    torch.testing.assert_close(terms["reconstruction"], 2 * error)
    logits = [one.logits[..., None, None] for one in (student, teacher)]
    mine, taught, more = distiller.of_logits(*logits, generator)
    p, q = taught.flatten(1).softmax(1), mine.flatten(1).softmax(1)
    torch.testing.assert_close(terms["logits"], 2 * (p * (p / q).log()).sum(1).mean())
    torch.testing.assert_close(terms["noise"], 2 * (noise + more))
    sum(terms.values()).backward()
    assert all(p.grad is not None for p in distiller.parameters())
