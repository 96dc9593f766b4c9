"""Large content outside the database: encrypted here, kept in a folder or in S3."""
