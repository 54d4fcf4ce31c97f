"""AutoML jobs: a real search over learners and their hyperparameters, with FLAML."""
