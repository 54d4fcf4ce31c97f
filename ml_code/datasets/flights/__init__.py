"""The dataset of flights: its declaration and how raw tables become the curated one."""
