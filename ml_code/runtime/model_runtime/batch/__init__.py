"""Batch inference: the rows of some days go to a transform job, and its answers into the table of predictions."""
