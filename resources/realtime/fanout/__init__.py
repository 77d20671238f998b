"""How processes tell one another that there is news."""
