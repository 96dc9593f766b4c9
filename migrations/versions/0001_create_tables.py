"""Create the tables of a tenant, as `fhir_server/storage/schema` describes them."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema import STATEMENTS

revision = "0001"
down_revision = None


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    raise RuntimeError("The first version has nothing below it; drop the schema instead.")
