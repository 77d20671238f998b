"""The servers that the platform can bring along: PostgreSQL and ArcadeDB, started and supervised as child processes."""
