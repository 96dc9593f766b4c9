"""Create people, sessions and authorizations, as `fhir_server/storage/schema/people.py` describes them."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema.people import STATEMENTS

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    raise RuntimeError("People and what they allowed would be lost; restore a backup instead.")
