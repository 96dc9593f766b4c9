"""Log disclosures: what was sent to language models, encrypted under the patient's key. And blobs: content outside the database."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema import blobs, gateway

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in (*gateway.STATEMENTS, *blobs.STATEMENTS):
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in (*blobs.UNDO, *gateway.UNDO):
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))
