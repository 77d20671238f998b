"""What the platform says about itself: correlation ids and structured logs."""
