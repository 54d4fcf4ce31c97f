"""`mlops monitor`: what the monitor of a model has found, and what came of it."""
