"""The screen at the end of a start: where it is, who may use it, what to try."""

from __future__ import annotations

from pathlib import Path

from fhir_server.cli.demo import DemoClient
from fhir_server.cli.demo_users import APP, REDIRECT_URIS, DemoUser
from fhir_server.cli.options import screen
from fhir_server.settings import Settings

_AUTHORIZED = '-H "Authorization: Bearer $(./clarity token{options} --scope '
_HEART_RATE = (
    '{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},'
    '{subject}"effectiveDateTime":"2026-01-05T08:00:00Z",'
    '"valueQuantity":{{"value":62,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}}}'
)
_TRY = {
    "patients, newest first": f'curl -s "{{base}}/Patient?_sort=-_lastUpdated&_count=3" {_AUTHORIZED}system/Patient.rs)"',
    "post a heart rate": (
        "curl -s {base}/Observation -H 'Content-Type: application/fhir+json' "
        f"{_AUTHORIZED}system/Observation.c)\" -d '{_HEART_RATE}'"
    ),
}
_LAST = {
    True: (
        "the digital twin of a demo patient",
        f"curl -s '{{base}}/Patient/demo-001/$twin' {_AUTHORIZED}system/*.rs)\"",
    ),
    False: ("what it can do", "curl -s {base}/metadata"),
}
_SUBJECT = '"subject":{"reference":"Patient/demo-001"},'


def welcome(
    settings: Settings, clients: list[DemoClient], users: list[DemoUser], logs: Path | None, seconds: float
) -> None:
    """Print the URLs, the demo clients and people, and three curl lines."""
    out = screen.print
    out(f"\n[bold]Clarity is ready[/bold] after {seconds:.1f} s. Ctrl-C ends it.\n")
    bases = {"default": "/fhir"}
    for tenant in settings.tenants:
        out(f"  FHIR    {settings.origin}{bases.get(tenant, f'/t/{tenant}/fhir')}", soft_wrap=True)
    if users:
        out(f"  apps    {settings.origin}/apps/ehr/  the EHR simulator: sign in as {users[0].login}", soft_wrap=True)
        out(
            f"          {settings.origin}/apps/admin/  apps that ask for access: sign in as {users[-1].login}",
            soft_wrap=True,
        )
    out(f"  health  {settings.origin}/health/ready   metrics {settings.origin}/metrics", soft_wrap=True)
    out(f"  data    {settings.data}", soft_wrap=True)
    if logs is not None:
        out(f"  logs    {logs}", soft_wrap=True)
    for client in clients:
        text = f"  client  {client.client_id}  secret {client.secret}  scope {client.scope}"
        out(text, markup=False, soft_wrap=True)
    for user in users:
        text = f"  user    {user.login}  password {user.password}  {user.role} {user.fhir_user or ''}"
        out(text.rstrip(), markup=False, soft_wrap=True)
    if users:
        text = f"  app     {APP}  public, redirect {REDIRECT_URIS[0]}; people sign in at {settings.origin}/oauth2/apps"
        out(text, markup=False, soft_wrap=True)
    named = {
        "base": f"{settings.origin}/fhir",
        "options": options(settings),
        "subject": _SUBJECT if clients else "",
    }
    for title, line in (*_TRY.items(), _LAST[bool(clients)]):
        out(f"\n[dim]# {title}[/dim]")
        out(line.format(**named), markup=False, soft_wrap=True)
    out("")


def options(settings: Settings) -> str:
    """Return what names this instance in a command to be copied: nothing for the standard data folder."""
    standard = Settings.model_fields["data"].default
    return "" if settings.data == standard else f" --data {settings.data}"
