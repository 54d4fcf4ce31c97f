"""The Glue job that tells the monitors what became of rows: see `dataset_job.labels`."""

import sys

from dataset_job.labels import main

if __name__ == "__main__":
    main(sys.argv[1:])
