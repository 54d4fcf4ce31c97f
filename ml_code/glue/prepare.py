"""The Glue job that prepares what has landed of a dataset: see `dataset_job.prepare`."""

import sys

from dataset_job.prepare import main

if __name__ == "__main__":
    main(sys.argv[1:])
