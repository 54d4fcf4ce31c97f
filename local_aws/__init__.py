"""A local AWS for one machine: moto behind our own CloudFormation, SageMaker and Glue, whose jobs really run."""
