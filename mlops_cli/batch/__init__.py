"""`mlops batch`: predictions for whole days."""
