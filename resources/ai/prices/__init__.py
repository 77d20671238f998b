"""What a call costs, in US dollars, exactly; and what is not known."""
