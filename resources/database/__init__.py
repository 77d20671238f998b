"""One PostgreSQL: connections, transactions with a tenant, and the schema's migrations."""
