"""`mlops data`: what has landed, what is published, what is held back, and the runs that change it."""
