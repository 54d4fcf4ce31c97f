"""How long a flight takes from gate to gate."""
