"""Create messages, verified contact points and opt-outs."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema import messages

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in messages.STATEMENTS:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    for table in messages.UNDO:
        op.drop_table(table, schema=context.config.attributes["schema"])
