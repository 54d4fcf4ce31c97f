"""`mlops season`: half a year in the life of a model, with retraining and without, on the local AWS."""
