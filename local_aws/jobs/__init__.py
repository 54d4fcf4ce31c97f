"""What every job of the local AWS needs: a guarded subprocess, its log stream, its files in S3."""
