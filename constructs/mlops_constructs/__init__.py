"""AWS CDK constructs for the whole life of machine-learning models."""
