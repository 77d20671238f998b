"""What may be spent: limits per scope and period, and where they stand."""
