"""The Glue job that checks and publishes what was prepared: see `dataset_job.publish`."""

import sys

from dataset_job.publish import main

if __name__ == "__main__":
    main(sys.argv[1:])
