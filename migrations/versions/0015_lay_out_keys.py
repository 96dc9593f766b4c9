"""Lay out keys: the index holds a part of a row's keys; start-up then writes all entries anew."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema.core import LAYOUT

revision = "0015"
down_revision = "0013"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in LAYOUT:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    raise RuntimeError("The index of before was filled from the resources; restore a backup instead.")
