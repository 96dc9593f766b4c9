"""Create the dictionary of codings, which `code=X` and `code=system|` ask for keys; start-up then indexes old rows anew."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema.core import CODING

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in CODING:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    schema = context.config.attributes["schema"]
    op.get_bind().exec_driver_sql(f"DROP TABLE {schema}.coding, {schema}.index_state")
