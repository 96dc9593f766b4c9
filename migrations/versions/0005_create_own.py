"""Create the tables of a tenant's own search parameters and of requests that are answered later."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema import own

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in own.STATEMENTS:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    for table in ("async_job", "own_param", "own_state"):
        op.drop_table(table, schema=context.config.attributes["schema"])
