"""Serve topics: what a topic-based Subscription asks for, bindings of websockets, the state of endpoints."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema import topics

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in topics.STATEMENTS:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in topics.UNDO:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))
