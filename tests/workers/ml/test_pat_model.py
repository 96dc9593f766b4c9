"""PAT is the paper's: its parameters, its numbers beside a forward pass in numpy, the published files read by shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.workers.ml.naive_pat import SIZES, forward, keras_weights, write_h5
from workers.ml.pat.export import FromCounts, difference, export
from workers.ml.pat.files import load, save
from workers.ml.pat.h5 import NotPat, read_h5
from workers.ml.pat.model import Classifier, Embedder, Encoder, Reconstructor
from workers.ml.pat.shape import HEAD_PARAMETERS, MINUTES, SHAPES, positions
from workers.ml.pat.weeks import Reference, Transform
from workers.ml.serve.pat import PatService

PUBLISHED = {
    "S": (274_720, 287_265),
    "M": (993_440, 1_005_985),
    "L": (1_984_192, 1_996_737),
    "Conv-S": (273_280, 285_825),
    "Conv-M": (992_000, 1_004_545),
    "Conv-L": (1_983_616, 1_996_161),
}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def from_keras(name: str, path: Path) -> Encoder:
    shape, tensors = read_h5(path)
    assert shape.name == name
    encoder = Encoder(shape)
    encoder.load_state_dict({key: torch.from_numpy(value) for key, value in tensors.items()})
    return encoder.eval()


def reference(transform: Transform = Transform.LOG1P) -> Reference:
    rng = np.random.default_rng(5)
    mean = rng.random(MINUTES).astype(np.float32) * 3
    return Reference(mean, (rng.random(MINUTES) + 0.5).astype(np.float32), transform)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_many_as_published(name: str) -> None:
    encoder = Encoder(SHAPES[name])
    assert (count(encoder), count(Classifier(encoder))) == PUBLISHED[name]
    assert SHAPES[name].parameters == PUBLISHED[name][0]
    assert SHAPES[name].parameters + HEAD_PARAMETERS == PUBLISHED[name][1]


def test_sines_stand_beside_cosines() -> None:
    found = positions(560)
    assert found.shape == (560, 96)
    assert np.allclose(found[0, :48], 0)
    assert np.allclose(found[0, 48:], 1)
    assert np.allclose(found[:, :48] ** 2 + found[:, 48:] ** 2, 1)


LARGE = {"L", "Conv-L"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in SIZES])
def test_published_files_are_read_and_compute_what_plain_numpy_does(name: str, tmp_path: Path) -> None:
    arrays = keras_weights(name)
    encoder = from_keras(name, write_h5(tmp_path / "w.h5", arrays))
    week = np.random.default_rng(1).normal(size=MINUTES).astype(np.float32)
    tokens, share = forward(arrays, name, week)
    with torch.no_grad():
        seen = encoder(torch.from_numpy(week[None]))[0].numpy()
        vector, attention = Embedder(encoder)(torch.from_numpy(week[None]))
    assert np.abs(seen - tokens).max() < 1e-5 * max(1, np.abs(tokens).max())
    assert np.abs(vector[0].numpy() - tokens.mean(axis=0)).max() < 1e-5
    assert np.abs(attention[0].numpy() - share).max() < 1e-5


def test_a_whole_saved_model_is_read_too(tmp_path: Path) -> None:
    arrays = keras_weights("S")
    more = {"dense_7/dense_7/kernel:0": np.zeros((96, 128), np.float32), "optimizer/count": np.zeros(3, np.int64)}
    plain = read_h5(write_h5(tmp_path / "plain.h5", arrays))
    saved = read_h5(write_h5(tmp_path / "saved.h5", arrays | more, below="model_weights/"))
    assert plain[0] == saved[0]
    assert all(np.array_equal(value, saved[1][name]) for name, value in plain[1].items())


def test_keras_repeats_the_name_of_a_layer_between_levels(tmp_path: Path) -> None:
    inner = {
        name.replace("_transformer/", "_transformer/encoder_layer_1_transformer/"): value
        for name, value in keras_weights("S").items()
    }
    assert read_h5(write_h5(tmp_path / "w.h5", inner))[0].name == "S"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dense/dense/kernel:0": np.zeros((17, 96), np.float32)}, "patch embedding"),
        ({"dense/dense/kernel:0": np.zeros((9, 96), np.float32)}, "no published PAT has 6 heads, 1 layers"),
        ({"dense/dense/bias:0": np.zeros(95, np.float32)}, "dense/dense/bias:0"),
        ({"encoder_layer_1_transformer/encoder_layer_1_ff1/kernel:0": np.zeros((96, 255), np.float32)}, "ff1/kernel:0"),
        ({"encoder_layer_1_transformer/encoder_layer_1_norm1/gamma:0": None}, "norm1/gamma:0 is missing"),
        ({"encoder_layer_3_transformer/encoder_layer_3_norm1/gamma:0": np.zeros(96, np.float32)}, "without a gap"),
    ],
)
def test_a_file_of_other_shapes_is_refused_by_name(change: dict[str, object], says: str, tmp_path: Path) -> None:
    arrays = {name: value for name, value in (keras_weights("S") | change).items() if value is not None}
    with pytest.raises(NotPat, match=says):
        read_h5(write_h5(tmp_path / "w.h5", arrays))


def test_what_is_no_h5_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_bytes(b"not at all")
    with pytest.raises(NotPat, match="no HDF5"):
        read_h5(tmp_path / "w.h5")


def test_onnx_computes_what_torch_does_and_explains_in_minutes(tmp_path: Path) -> None:
    """One export serves three questions: an export takes seconds."""
    encoder = from_keras("S", write_h5(tmp_path / "w.h5", keras_weights("S")))
    data = export(encoder, reference())
    rng = np.random.default_rng(2)
    weeks = rng.gamma(0.4, 250, (2, MINUTES)).astype(np.float32)
    weeks[0, 3000:3600] = np.nan
    assert difference(FromCounts(encoder, reference()).eval(), data, weeks) < 1e-5
    found = PatService(data).embed(weeks[0])
    minutes = found.minutes()
    assert minutes.shape == (MINUTES,)
    assert minutes.sum() == pytest.approx(1, abs=1e-5)
    assert len(set(minutes[:18].tolist())) == 1
    with pytest.raises(ValueError, match="10080"):
        PatService(data).run(np.zeros((1, 1440), np.float32))
    known = ~np.isnan(weeks[0])
    scaled = reference().scale(np.nan_to_num(weeks[:1]))[0]
    assert found.strangeness == pytest.approx(np.abs(scaled[known]).mean(), rel=1e-4)
    filled = np.where(known, scaled, 0).astype(np.float32)
    tokens, share = forward(keras_weights("S"), "S", filled)
    assert np.abs(found.vector - tokens.mean(axis=0)).max() < 1e-5
    assert np.abs(found.attention - share).max() < 1e-5


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    encoder, known = Encoder(SHAPES["S"]).eval(), reference(Transform.NONE)
    save(encoder, known, tmp_path / "w.safetensors")
    again, same = load(tmp_path / "w.safetensors")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in encoder.state_dict().items())
    assert np.array_equal(same.mean, known.mean)
    assert same.transform is Transform.NONE


def test_pretraining_hides_nine_in_ten_patches_and_stays_within_two_sd() -> None:
    model = Reconstructor(Encoder(SHAPES["S"])).eval()
    assert model.masked == 504
    order = torch.randperm(560, generator=torch.Generator().manual_seed(1))
    week = torch.randn(1, MINUTES)
    hidden = order[:504]
    other = week.clone().view(1, 560, 18)
    other[:, hidden] = 99
    with torch.no_grad():
        told = model(week, order)
        assert torch.equal(told, model(other.view(1, -1), order)), "what is hidden is not seen"
        assert told.abs().max() <= 2
        seen = week.clone().view(1, 560, 18)
        seen[:, order[-1]] += 1
        assert not torch.equal(told, model(seen.view(1, -1), order))
