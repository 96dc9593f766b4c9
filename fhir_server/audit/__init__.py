"""Who did: one row for every interaction, durable before the answer leaves, read back as AuditEvent."""
