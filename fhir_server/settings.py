"""Every setting, once: its name in the environment or `.env`, its type, its default and what it means in one line."""

from __future__ import annotations

import functools
import os
import re
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fhir_server.kit.files import write_once

MIB = 1 << 20
_HOURS = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d")
ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """The settings of one installation; `docs/settings.md` is this list as a table."""

    model_config = SettingsConfigDict(
        env_file=(ROOT / ".env", ".env"), env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )

    environment: Literal["development", "test", "production"] = Field(
        "development", description="What runs here; production refuses to start with less than it needs."
    )
    data: Path = Field(
        ROOT / ".clarity" / "data",
        validation_alias=AliasChoices("CLARITY_DATA", "data"),
        description="Folder of keys, secrets and the embedded databases.",
    )
    host: str = Field("127.0.0.1", description="Address that the web processes listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the web processes listen on.")
    base_url: str | None = Field(
        None, description="Origin that clients see, such as https://fhir.example.org; default http://HOST:PORT."
    )
    trusted_proxies: str | None = Field(
        None, description="Addresses, separated by commas, of proxies whose X-Forwarded-For and -Proto are believed."
    )
    canonical_base: str = Field(
        "https://fhir.clarity.example", description="Stem of the canonical URLs of our own artefacts."
    )
    tenants: Annotated[list[str], NoDecode] = Field(
        ["default"],
        description="Tenant names, separated by commas; default is served at /fhir, others at /t/NAME/fhir.",
    )
    web_processes: int = Field(
        0, ge=0, le=256, description="Number of web processes; 0 means one a core, four at most."
    )

    database_url: str | None = Field(None, description="PostgreSQL 16 or newer; unset starts the embedded one.")
    database_pool: int = Field(10, ge=1, le=200, description="Database connections of each process at most.")
    redis_url: str | None = Field(None, description="Redis 6.2 or newer; unset starts the embedded one.")
    jwt_secret_key: SecretStr | None = Field(
        None, description="Seals cursors and sessions, 32 characters at least; made once in the data folder when unset."
    )
    rate_limiting_enabled: bool = Field(True, description="Limit the requests of each client and network address.")
    rate_limits: str = Field(
        "", description="Budgets that differ from the usual, such as reads=600/minute, devices=none (docs/limits.md)."
    )
    phi_sanitization_enabled: bool = Field(
        True, description="Drop every log field that is not on the allow-list; production insists on it."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe log line that is written."
    )
    prometheus_multiproc_dir: Path | None = Field(
        None, description="Folder in which several processes share their metrics; set by `up` and `serve`."
    )

    max_body_bytes: int = Field(64 * MIB, ge=1024, description="Largest request body.")
    max_bundle_entries: int = Field(10_000, ge=1, description="Most entries of a batch or transaction.")
    page_default: int = Field(50, ge=1, description="Entries of a page when _count is not given.")
    page_max: int = Field(1000, ge=1, description="Entries of a page at most, whatever _count says.")
    token_seconds: int = Field(3600, ge=60, le=86_400, description="How long an access token holds.")

    user_reach: Literal["care", "tenant"] = Field(
        "care", description="Patients that caregivers reach by user/ scopes: those in their care, or all of the tenant."
    )

    care_encounter_days: int | None = Field(
        None,
        ge=0,
        description="Days after an Encounter for which user/ scopes still reach its patient by it; without a number, for good.",
    )

    consent_default: Literal["permit", "deny"] = Field(
        "permit",
        description="What holds where no Consent of a patient speaks: everybody may see (opt-out), or nobody (opt-in).",
    )

    worker_jobs: int = Field(4, ge=1, le=64, description="Jobs that one worker process runs at a time.")
    worker_deliveries: int = Field(
        32, ge=1, le=1000, description="Notifications that one worker process sends at a time."
    )
    twin_refresh_seconds: int = Field(300, ge=0, description="A patient's twin is refreshed at most this often.")
    prediction_hour: int = Field(
        3, ge=0, le=23, description="Hour, in TIME_ZONE, from which workers make a night's predictions."
    )
    ingest_lag_seconds: int = Field(
        120, ge=1, description="$ingest answers 429 when the oldest work of the workers has waited longer than this."
    )
    raw_minutes_days: int = Field(
        0, ge=0, description="Days after which single minutes of wearables become one series a day; 0 keeps them."
    )
    time_zone: str = Field(
        "UTC", description="IANA time zone of patients whose data and record state none, such as Europe/Berlin."
    )
    notify_private_hosts: Annotated[list[str], NoDecode] = Field(
        [], description="Host names, separated by commas, to which notifications go although their address is private."
    )
    smtp_url: SecretStr | None = Field(
        None, description="Mail server for notifications, as smtp(s)://user:password@host:port; unset: no e-mail."
    )
    mail_from: str = Field("clarity@localhost", description="Sender of notifications by e-mail.")

    twilio_account_sid: str | None = Field(None, description="Twilio account that sends text messages, as AC....")
    twilio_auth_token: SecretStr | None = Field(
        None, description="Its auth token; it also proves what Twilio tells the webhooks."
    )
    twilio_from: str | None = Field(
        None, description="Number (+15550100) or messaging service (MG...) that text messages come from."
    )
    twilio_base_url: str = Field("https://api.twilio.com", description="Where Twilio's API is; another one for tests.")
    ses_from: str | None = Field(
        None, description="Sender that Amazon SES has verified; set: messages by e-mail go there."
    )
    ses_region: str = Field("us-east-1", description="Region of Amazon SES.")
    ses_configuration_set: str | None = Field(
        None, description="Configuration set of SES whose events go to the topic."
    )
    ses_topic_arn: str | None = Field(
        None, description="SNS topic whose deliveries, bounces and complaints are believed."
    )
    ses_topic_certificate: Path | None = Field(
        None, description="PEM of the certificate that SNS signs with; unset: fetched from Amazon and kept."
    )
    aws_endpoint_url: str | None = Field(None, description="Where the AWS API is; unset: Amazon's own.")
    message_link: str | None = Field(
        None, description="Link in messages, {id} for the Communication; default its page on this server."
    )
    message_quiet_hours: str = Field(
        "21:00-08:00",
        description="Hours in the recipient's time zone without messages, urgent ones aside; none for none.",
    )
    message_daily_limit: int = Field(10, ge=1, description="Messages to one person in 24 hours, urgent ones aside.")
    message_bundle_seconds: int = Field(
        60, ge=0, le=3600, description="Seconds in which messages of one reason to one person become one."
    )
    message_staff_domains: Annotated[list[str], NoDecode] = Field(
        [], description="Mail domains, separated by commas, whose addresses of practitioners count as verified."
    )
    alert_fallback: str | None = Field(
        None,
        pattern=r"^(Practitioner|PractitionerRole)/[A-Za-z0-9.-]{1,64}$",
        description="Practitioner/id or PractitionerRole/id told of alerts about patients for whom nobody is responsible.",
    )
    reminder_hours: int = Field(
        24, ge=0, le=720, description="Hours before an appointment at which its reminder goes out; 0 for no reminders."
    )

    aws_access_key_id: SecretStr | None = Field(
        None, description="Key of the AWS account; unset: what the machine has."
    )
    aws_secret_access_key: SecretStr | None = Field(None, description="Secret of the AWS account.")
    aws_region: str = Field("us-east-1", description="Region of the S3 bucket.")
    s3_bucket: str | None = Field(
        None, description="Bucket for large content; unset: the folder blobs beside the keys."
    )
    blob_bytes: int = Field(
        64 * 1024, ge=0, description="Content of Binary and attachments that is longer is stored outside the database."
    )
    max_binary_bytes: int = Field(32 * MIB, ge=1024, description="Largest content of a Binary or attachment.")
    openai_api_key: SecretStr | None = Field(
        None, description="Key of the OpenAI-compatible API; unset, with no OPENAI_BASE_URL: no model is asked."
    )
    openai_base_url: str | None = Field(
        None,
        description="Base URL of an OpenAI-compatible API, such as http://127.0.0.1:8001/v1 of a vLLM of your own.",
    )
    mentallama_model_mappings: dict[str, str] | None = Field(
        None, description="JSON object: role (clinical, extraction, summary; default for others) to model name."
    )
    openai_timeout_seconds: float = Field(120.0, gt=0, description="A model that is silent for so long is given up.")
    openai_tries: int = Field(3, ge=1, le=10, description="How often a call is made when the endpoint is busy.")
    openai_call_tokens: int = Field(16_000, ge=500, description="Tokens of one call at most, question and answer.")
    openai_day_tokens: int = Field(2_000_000, ge=0, description="Tokens of a tenant in 24 hours at most.")
    deidentification_ner_path: Path | None = Field(
        None, description="Python file whose spans(text) finds further names before text leaves; unset: none does."
    )
    xgboost_treatment_response_model_path: str | None = Field(
        None,
        description="Model of treatment response instead of the shipped one: folder with card.json, path or s3://.",
    )
    xgboost_outcome_prediction_model_path: str | None = Field(
        None, description="Model of outcome instead of the shipped one: folder with card.json, path or s3://."
    )
    xgboost_risk_prediction_model_path: str | None = Field(
        None, description="Model of risk instead of the shipped one: folder with card.json, path or s3://."
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("must be an IANA time zone such as Europe/Berlin") from error
        return name

    @field_validator("database_url")
    @classmethod
    def _one_scheme(cls, url: str | None) -> str | None:
        if url is None:
            return None
        for scheme in ("postgres://", "postgresql+asyncpg://", "postgresql://"):
            if url.startswith(scheme):
                return "postgresql://" + url.removeprefix(scheme)
        raise ValueError("must start with postgresql:// (or postgres://)")

    @field_validator("rate_limits")
    @classmethod
    def _known_budgets(cls, text: str) -> str:
        if text:
            from fhir_server.kit import throttle  # what it needs takes longer to import than most commands run

            throttle.budgets(text)
        return text

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return url

    @field_validator("message_link")
    @classmethod
    def _link(cls, text: str | None) -> str | None:
        if text is not None and "{id}" not in text:
            raise ValueError("must hold {id}, as in https://portal.example.org/inbox/{id}")
        return text

    @field_validator("message_quiet_hours")
    @classmethod
    def _hours(cls, text: str) -> str:
        if text != "none" and not _HOURS.fullmatch(text):
            raise ValueError("must be as 21:00-08:00, or none")
        return text

    @field_validator("tenants", "notify_private_hosts", "message_staff_domains", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @property
    def origin(self) -> str:
        """What every base URL starts with, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        seen = "127.0.0.1" if self.host in ("0.0.0.0", "::") else host  # noqa: S104  compared, not bound
        return (self.base_url or f"http://{seen}:{self.port}").rstrip("/")

    @property
    def sends_text(self) -> bool:
        """Whether Twilio is set up."""
        return None not in (self.twilio_account_sid, self.twilio_auth_token, self.twilio_from)

    @property
    def sends_mail(self) -> bool:
        """Whether SES or a mail server is set up."""
        return self.ses_from is not None or self.smtp_url is not None

    @property
    def keys_dir(self) -> Path:
        """The folder of the data keys and signing keys: outside the database and its backups."""
        return self.data / "keys"

    @property
    def processes(self) -> int:
        """How many web processes run."""
        return self.web_processes or min(os.cpu_count() or 1, 4)

    @property
    def care_after(self) -> timedelta | None:
        """How long after its end an Encounter still shows the record to who took part."""
        return None if self.care_encounter_days is None else timedelta(days=self.care_encounter_days)

    def secret(self) -> bytes:
        """Return what seals cursors and sessions; outside production it is made once, readable by its owner only."""
        if self.jwt_secret_key is not None:
            return self.jwt_secret_key.get_secret_value().encode()
        return _generated(self.data / "jwt_secret_key")

    def problems(self) -> list[str]:
        """Return what keeps these settings from being safe to run, one sentence each, with how to mend it."""
        found = []
        key = self.jwt_secret_key and self.jwt_secret_key.get_secret_value()
        if key and len(key) < 32:
            found.append("JWT_SECRET_KEY is shorter than 32 characters: make one with `openssl rand -base64 48`.")
        twilio = (self.twilio_account_sid, self.twilio_auth_token, self.twilio_from)
        if any(twilio) and not all(twilio):
            found.append("Twilio needs all of TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_FROM.")
        if self.page_default > self.page_max:
            found.append("PAGE_DEFAULT is larger than PAGE_MAX: lower the one or raise the other.")
        if self.environment == "production":
            found += self._missing_in_production()
        return found

    def _missing_in_production(self) -> list[str]:
        found = []
        if self.jwt_secret_key is None:
            found.append("JWT_SECRET_KEY is not set: production needs one, made with `openssl rand -base64 48`.")
        if self.base_url is None:
            found.append(
                "BASE_URL is not set: production needs the origin that clients see, as in https://fhir.example.org."
            )
        if not self.phi_sanitization_enabled:
            found.append("PHI_SANITIZATION_ENABLED is off: production keeps patients' data out of its logs.")
        return found


class UnsafeSettings(Exception):
    """Settings that must not run; the text lists every problem."""


def load(**overrides: Any) -> Settings:
    """Read the settings from the environment and `.env`; what a command line says comes before both."""
    return Settings(**{name: value for name, value in overrides.items() if value is not None})


@functools.cache
def current() -> Settings:
    """Return the settings of this process, refused when they are not safe."""
    settings = load()
    if problems := settings.problems():
        raise UnsafeSettings("\n".join(problems))
    return settings


def environment(**additions: str) -> dict[str, str]:
    """Return the environment for a child process that imports this project, with `additions`."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **additions}


def _generated(path: Path) -> bytes:
    """Return the secret of `path`, made by whichever process comes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_once(path, secrets.token_urlsafe(48).encode())
    return path.read_bytes()
