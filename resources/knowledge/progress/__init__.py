"""How far people are with what they learn."""
