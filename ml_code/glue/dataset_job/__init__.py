"""The jobs of a dataset: prepare what has landed, check it, publish it."""
