"""Put every Provenance into the compartments of what it is told of, as `storage/traced.py` does for what is written from now on."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage import traced

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for table in ("resource", "history"):
        statement = traced.again_sql(table, "TRUE", laid_out=False)
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    raise RuntimeError(
        "A server of before would show each Provenance to all who see its patient; restore a backup instead."
    )
