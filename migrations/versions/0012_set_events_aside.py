"""Set events aside: what fails whenever it is tried no longer holds up what comes after it."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema import aside

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in aside.STATEMENTS:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in aside.UNDO:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))
