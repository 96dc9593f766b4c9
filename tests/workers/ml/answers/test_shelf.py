"""A model of one's own that cannot be read answers nothing, and keeps no other from answering."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.settings import Settings
from workers.ml.answers.shelf import opened
from workers.ml.registry import shelf


@pytest.mark.parametrize("place", ["{folder}/model.pkl", "{folder}/nothing", "s3://nowhere/risk"])
def test_the_others_go_on(tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "model.pkl").write_bytes(b"cos")
    settings = Settings(
        environment="test", data=tmp_path, xgboost_risk_prediction_model_path=place.format(folder=tmp_path),
        aws_endpoint_url="http://127.0.0.1:1",
    )  # type: ignore[call-arg]  # fmt: skip
    models = opened(settings)
    assert models.risks == ()
    assert models.forecasts
    assert models.response is not None
    [problem] = shelf.problems(settings)
    assert problem.startswith("XGBOOST_RISK_PREDICTION_MODEL_PATH: ")
