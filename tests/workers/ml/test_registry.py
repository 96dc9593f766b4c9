"""A checkpoint is read when it is what its card says, and refused in words when it is anything else."""

from __future__ import annotations

import base64
import hashlib
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from safetensors.numpy import save

from fhir_server.kit import json
from fhir_server.settings import ROOT, Settings
from fhir_server.validation.validate import validate
from workers.ml.registry import checkpoint, shelf
from workers.ml.registry.attributes import ATTRIBUTES, NOT_PERFORMED, SECTIONS
from workers.ml.registry.card import Artefact, BadCard, Card, read_card, write_card
from workers.ml.registry.formats import CheckpointRefused, check
from workers.ml.registry.page import page
from workers.ml.registry.resources import model_device, model_id, model_library

TENSORS = save({"weight": np.arange(6, dtype=np.float32).reshape(2, 3)})
BOOSTER = b'{"learner": {"attributes": {}}, "version": [3, 2, 0]}'


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(environment="test", data=tmp_path / "data")  # type: ignore[call-arg]


def card(name: str = "some-model", data: bytes = TENSORS, location: str = "weights.safetensors", **more) -> Card:
    made = Artefact(location, "safetensors", hashlib.sha256(data).hexdigest(), "weights", len(data))
    about = {"intended-use": "Tests."}
    plain = Card(name, "1.0", "Some model", "embedding", "None", "Nothing.", "Apache-2.0", (made,), about)
    return replace(plain, **more)


def placed(folder: Path, made: Card, data: bytes = TENSORS) -> Path:
    target = folder / made.name
    target.mkdir(parents=True)
    write_card(made, target)
    (target / made.artefacts[0].location).write_bytes(data)
    return target


def test_there_are_31_source_attributes_in_nine_sections() -> None:
    assert [len(section) for section in SECTIONS.values()] == [4, 4, 2, 4, 2, 4, 5, 4, 2]
    assert len(ATTRIBUTES) == 31


def test_a_card_is_read_as_it_was_written_and_says_what_was_not_performed(tmp_path: Path, settings: Settings) -> None:
    folder = placed(tmp_path, card())
    model = shelf.shipped(tmp_path)["some-model"]
    assert model.card == card()
    assert model.read("weights", settings) == TENSORS
    assert str(folder) == model.folder
    assert page(model.card).count(NOT_PERFORMED) == 30 + 1, "30 attributes and no figures"


@pytest.mark.parametrize(
    "broken",
    [
        b"[]",
        b"{}",
        b"not json",
        json.encode({"name": "x"}),
    ],
)
def test_what_is_no_card_is_refused(broken: bytes) -> None:
    with pytest.raises(BadCard):
        read_card(broken)


def test_a_card_knows_no_other_attributes_names_or_digests() -> None:
    with pytest.raises(BadCard, match="no source attribute"):
        card(attributes={"cleverness": "much"})
    with pytest.raises(BadCard, match="name"):
        card(name="Some Model")
    with pytest.raises(BadCard, match="sha256"):
        card(artefacts=(Artefact("a.onnx", "onnx", "abc", "serving", 1),))


def test_a_damaged_file_is_not_handed_out(tmp_path: Path, settings: Settings) -> None:
    placed(tmp_path, card(), TENSORS[:-1] + b"\x01")
    with pytest.raises(CheckpointRefused, match="sha256"):
        shelf.shipped(tmp_path)["some-model"].read("weights", settings)


@pytest.mark.parametrize("name", ["m.pkl", "m.pickle", "m.joblib", "m.pt", "m.pth", "m.bin", "m.PKL", "m.npy"])
def test_pickles_are_refused_by_their_name(name: str, settings: Settings) -> None:
    made = Artefact(name, "safetensors", "0" * 64, "weights", 1)
    with pytest.raises(CheckpointRefused, match="pickle"):
        checkpoint.read(made, "nowhere", settings)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["m.safetensors", "m.onnx", "m.json"])
def test_pickles_are_refused_by_their_content(name: str, protocol: int) -> None:
    data = pickle.dumps({"weight": [1.0, 2.0]}, protocol)
    stated = {"m.safetensors": "safetensors", "m.onnx": "onnx", "m.json": "xgboost-json"}[name]
    with pytest.raises(CheckpointRefused, match="pickle"):
        check(name, data, stated)  # type: ignore[arg-type]


def test_an_archive_of_torch_is_a_pickle(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(CheckpointRefused, match="pickle"):
        check("m.safetensors", (tmp_path / "m").read_bytes(), "safetensors")


@pytest.mark.parametrize("data", [b"", b"\x08", b"\xff" * 40, b"{}", TENSORS, BOOSTER[:-1]])
@pytest.mark.parametrize(("name", "stated"), [("m.onnx", "onnx"), ("m.json", "xgboost-json")])
def test_content_has_to_be_of_the_stated_format(name: str, stated: str, data: bytes) -> None:
    with pytest.raises(CheckpointRefused, match="content"):
        check(name, data, stated)  # type: ignore[arg-type]


def test_what_is_of_its_format_passes() -> None:
    check("m.safetensors", TENSORS, "safetensors")
    check("m.json", BOOSTER, "xgboost-json")
    with pytest.raises(CheckpointRefused, match="is called"):
        check("m.json", TENSORS, "safetensors")


def test_settings_name_a_model_by_folder_card_or_checkpoint(tmp_path: Path, settings: Settings) -> None:
    made = card("own-risk", use="risk-prediction")
    folder = placed(tmp_path, made)
    for place in (folder, folder / "card.json", folder / "weights.safetensors"):
        chosen = settings.model_copy(update={"xgboost_risk_prediction_model_path": str(place)})
        found = shelf.serving("risk-prediction", chosen, tmp_path / "none")
        assert found is not None
        assert found.card == made
        assert shelf.problems(chosen) == []


def test_doctor_hears_of_a_model_that_is_wrong(tmp_path: Path, settings: Settings) -> None:
    name = "xgboost_risk_prediction_model_path"
    folder = placed(tmp_path, card("other-use"))
    (tmp_path / "m.pkl").write_bytes(b"")
    for place, says in (
        (folder, "embedding"),
        (tmp_path / "m.pkl", "pickle"),
        (tmp_path / "nowhere", "No such file"),
        (folder / "unlisted.onnx", "does not list"),
    ):
        [problem] = shelf.problems(settings.model_copy(update={name: str(place)}))
        assert says in problem
        assert problem.startswith(name.upper())


def test_models_come_from_s3_once_and_are_checked_every_time(tmp_path: Path, settings: Settings) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        access = {
            "aws_access_key_id": "key",
            "aws_secret_access_key": "secret",
            "aws_endpoint_url": f"http://{host}:{port}",
        }
        mine = Settings(environment="test", data=tmp_path / "data", **access)  # type: ignore[arg-type]
        store = boto3.client("s3", **{k.replace("aws_endpoint", "endpoint"): v for k, v in access.items()})
        store.create_bucket(Bucket="models")
        folder = placed(tmp_path, card("in-bucket", use="risk-prediction"))
        for path in folder.iterdir():
            store.put_object(Bucket="models", Key=f"risk/{path.name}", Body=path.read_bytes())
        model = shelf.named("s3://models/risk", mine)
        assert model.read("weights", mine) == TENSORS
        store.put_object(Bucket="models", Key="risk/weights.safetensors", Body=b"changed")
        assert model.read("weights", mine) == TENSORS, "kept under its digest"
        (mine.data / "models" / model.card.artefacts[0].sha256).unlink()
        with pytest.raises(CheckpointRefused, match="sha256"):
            model.read("weights", mine)
        with pytest.raises(FileNotFoundError, match="NoSuchKey"):
            shelf.named("s3://models/nothing", mine)
    finally:
        server.stop()


def test_a_model_is_a_device_and_a_library_that_the_server_takes(tmp_path: Path) -> None:
    made = card()
    device, library = model_device(made), model_library(made)
    for resource in (device, library):
        assert not validate(resource)
        assert resource["id"] == model_id(made)
    assert base64.b64decode(library["content"][0]["data"]).decode() == page(made)
    attributes = {
        part["extension"][0]["valueCode"]: part["extension"][2]["valueMarkdown"] for part in library["extension"]
    }
    assert list(attributes) == list(ATTRIBUTES)
    assert attributes["funding"] == NOT_PERFORMED
    assert device["extension"][0]["extension"][0]["valueReference"]["reference"] == f"Library/{library['id']}"


def test_every_shipped_model_is_whole_and_has_its_page(settings: Settings) -> None:
    for name, model in shelf.shipped().items():
        for artefact in model.card.artefacts:
            assert len(checkpoint.read(artefact, model.folder, settings)) == artefact.bytes
        assert (ROOT / "docs" / "models" / f"{name}.md").read_text() == page(model.card)
