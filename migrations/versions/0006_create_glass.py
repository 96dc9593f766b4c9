"""Create the table of emergency access."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema import glass

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in glass.STATEMENTS:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    op.drop_table("glass", schema=context.config.attributes["schema"])
