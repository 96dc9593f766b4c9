"""Let series hold all Observations, also in the order of change, and keep counts; start-up then fills both."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema.core import SERIES, TALLY

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in ("DROP TABLE {s}.series", *SERIES, *TALLY):
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    raise RuntimeError("The series of before were filled from the resources; restore a backup instead.")
