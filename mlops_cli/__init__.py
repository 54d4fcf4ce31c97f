"""The `mlops` command: works through the AWS APIs alone, so it is the same against AWS and the local AWS."""
