"""The monitor: captured requests against what the model was trained on."""
