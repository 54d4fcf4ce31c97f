"""What runs in the container: the entry points prepare, train, evaluate and serve, the same on AWS and locally."""
