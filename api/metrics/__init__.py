"""What there is to measure: counted by each process, read from the database, added up for whoever asks."""
