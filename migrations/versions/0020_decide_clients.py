"""Let an administrator refuse a registration with a reason, and disable a client without forgetting it."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema import registration

revision = "0020"
down_revision = "0016"

_COLUMNS = ("asked_from", "client_uri", "contacts", "disabled_at", "refusal")


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in registration.DECIDED:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    schema = context.config.attributes["schema"]
    # What was disabled or refused would be a client, or wait, again.
    op.execute(f"DELETE FROM {schema}.oauth_client WHERE disabled_at IS NOT NULL OR refusal IS NOT NULL")
    for column in _COLUMNS:
        op.drop_column("oauth_client", column, schema=schema)
