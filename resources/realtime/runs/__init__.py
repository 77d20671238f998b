"""What runs write to their logs."""
