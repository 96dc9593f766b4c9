"""Let clients wait for an administrator, and tell every process at once when access is taken away."""

from __future__ import annotations

from alembic import context, op

from fhir_server.storage.schema import registration

revision = "0007"
down_revision = "0006"

_TOLD = ("oauth_grant", "oauth_revoked", "person", "oauth_client")


def upgrade() -> None:
    schema = context.config.attributes["schema"]
    for statement in registration.STATEMENTS:
        op.get_bind().exec_driver_sql(statement.replace("{s}", schema))


def downgrade() -> None:
    schema = context.config.attributes["schema"]
    for table in _TOLD:
        op.execute(f"DROP TRIGGER tell_access ON {schema}.{table}")
    op.execute(f"DROP FUNCTION {schema}.tell_access()")
    op.execute(f"DELETE FROM {schema}.oauth_client WHERE pending")
    op.drop_column("oauth_client", "registration", schema=schema)
    op.drop_column("oauth_client", "pending", schema=schema)
