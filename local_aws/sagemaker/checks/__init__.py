"""The containers that stand for AWS's own in QualityCheck and ClarifyCheck steps, and the steps themselves."""
