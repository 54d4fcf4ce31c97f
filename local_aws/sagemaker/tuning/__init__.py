"""Hyperparameter tuning jobs: real training jobs, with values that Optuna suggests."""
