"""One endpoint: what Describe tells of it, and which of its fleets gets a request."""

from __future__ import annotations

import math
import random
from datetime import datetime
from typing import Any

from local_aws.sagemaker.fleet import Fleet
from local_aws.sagemaker.workspace import Record

_random = random.SystemRandom()


class Endpoint:
    """An endpoint: its record, the fleet that serves it, and the one that is to take over.

    `share` is how much of the traffic the next fleet has by now, from 0 to 1.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.fleet: Fleet | None = None
        self.next: Fleet | None = None
        self.share = 0.0
        self.next_since: datetime | None = None
        self._stage: Record | None = None

    @property
    def status(self) -> str:
        """Its EndpointStatus."""
        return str(self.record["EndpointStatus"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.record["EndpointName"])

    def route(self) -> Fleet | None:
        """Return the fleet that has the next request; None when there is none in service."""
        fleet, following, share = self.fleet, self.next, self.share
        if following is not None and share > 0 and _random.random() < share:
            return following
        return fleet

    def begin(self, fleet: Fleet, moment: datetime) -> None:
        """Have a fleet that is to take over, with no traffic yet."""
        self.share = 0.0
        self.next, self.next_since, self._stage = fleet, moment, None

    def stage(self, status: str, message: str, moment: datetime) -> None:
        """Say what is being done to the next fleet."""
        self._stage = {"Status": status, "StatusMessage": message, "StartTime": moment}

    def take_over(self) -> Fleet | None:
        """Make the next fleet the one that serves, and return the one that did."""
        before, self.fleet = self.fleet, self.next
        self.give_up()
        return before

    def give_up(self) -> None:
        """Have no next fleet any more."""
        self.share = 0.0
        self.next = self.next_since = self._stage = None

    def described(self) -> Record:
        """Return what DescribeEndpoint tells."""
        record, fleet = dict(self.record), self.fleet
        if fleet is not None:
            record["ProductionVariants"] = fleet.described()
            if fleet.shadows:
                record["ShadowProductionVariants"] = fleet.described(shadows=True)
            capture = fleet.config.get("DataCaptureConfig")
            if capture:
                record["DataCaptureConfig"] = {
                    "EnableCapture": capture.get("EnableCapture", True),
                    "CaptureStatus": "Started" if fleet.capture else "Stopped",
                    "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
                    "DestinationS3Uri": capture["DestinationS3Uri"],
                    "KmsKeyId": capture.get("KmsKeyId", ""),
                }
            if "AsyncInferenceConfig" in fleet.config:
                record["AsyncInferenceConfig"] = fleet.config["AsyncInferenceConfig"]
        pending = self._pending()
        if pending:
            record["PendingDeploymentSummary"] = pending
        return record

    def _pending(self) -> dict[str, Any] | None:
        following, since, stage, share = self.next, self.next_since, self._stage, self.share
        if following is None:
            return None
        variants = following.described()
        for variant in variants:
            if "DesiredInstanceCount" in variant:
                # the instances that have traffic
                variant["CurrentInstanceCount"] = math.ceil(share * variant["DesiredInstanceCount"] - 1e-9)
            if stage:
                variant["VariantStatus"] = [stage]
        summary: dict[str, Any] = {
            "EndpointConfigName": following.config["EndpointConfigName"],
            "ProductionVariants": variants,
            "StartTime": since,
        }
        return summary
