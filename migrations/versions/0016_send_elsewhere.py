"""Remember by message which contact points will not take it: it goes to another one of the person."""

from __future__ import annotations

from alembic import context, op

revision = "0016"
down_revision = "0015"


def _run(statement: str) -> None:
    op.get_bind().exec_driver_sql(statement.replace("{s}", context.config.attributes["schema"]))


def upgrade() -> None:
    _run("ALTER TABLE {s}.message ADD COLUMN refused bigint[] NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    _run("ALTER TABLE {s}.message DROP COLUMN refused")
