"""docs/settings.md is the list of settings, no more and no less."""

import re

from fhir_server.cli.doctor import settings_table
from fhir_server.settings import Settings
from tests.house.tree import ROOT


def test_the_table_in_the_docs_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert settings_table() in text, "run `./clarity doctor --table` and put it into docs/settings.md"


def test_every_setting_says_what_it_means_in_one_line() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert len(field.description) <= 120, name


def test_the_names_that_were_asked_for_are_there() -> None:
    asked = """ENVIRONMENT DATABASE_URL REDIS_URL JWT_SECRET_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY S3_BUCKET
        OPENAI_API_KEY MENTALLAMA_MODEL_MAPPINGS XGBOOST_TREATMENT_RESPONSE_MODEL_PATH
        XGBOOST_OUTCOME_PREDICTION_MODEL_PATH XGBOOST_RISK_PREDICTION_MODEL_PATH RATE_LIMITING_ENABLED
        PHI_SANITIZATION_ENABLED"""
    names = set(re.findall(r"\w+", settings_table()))
    assert set(asked.split()) <= names
