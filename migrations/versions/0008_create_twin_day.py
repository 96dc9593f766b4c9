"""Create the daybook of twins."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema import twin

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in twin.STATEMENTS:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    for table in ("twin_book", "twin_day"):
        op.drop_table(table, schema=context.config.attributes["schema"])
