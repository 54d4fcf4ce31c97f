"""AWS::SNS::Topic, AWS::SNS::TopicPolicy and AWS::SNS::Subscription."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Setting, Tagging
from local_aws.cloudformation.providers.api_shape import as_text
from local_aws.cloudformation.providers.provider import Provisioned, Request, is_gone


def _attribute(name: str, default: str) -> Setting:
    arguments = {"TopicArn": "id", "AttributeName": f"'{name}'", "AttributeValue": "value"}
    return Setting(name, Operation("SetTopicAttributes", arguments), default=default)


TOPIC = ApiResource(
    type="AWS::SNS::Topic",
    service="sns",
    name_property="TopicName",
    name_length=256,
    create_operation=Operation("CreateTopic", {"Name": "properties.TopicName", "Tags": "properties.Tags"}),
    delete_operation=Operation("DeleteTopic", {"TopicArn": "id"}),
    physical_id="created.TopicArn",
    attributes={"TopicArn": "id", "TopicName": "properties.TopicName"},
    settings=(_attribute("DisplayName", ""), _attribute("KmsMasterKeyId", "")),
    tagging=Tagging(
        Operation("TagResource", {"ResourceArn": "id", "Tags": "value"}),
        Operation("UntagResource", {"ResourceArn": "id", "TagKeys": "value"}),
    ),
)

SUBSCRIPTION = ApiResource(
    type="AWS::SNS::Subscription",
    service="sns",
    create_operation=Operation(
        "Subscribe",
        {
            "TopicArn": "properties.TopicArn",
            "Protocol": "properties.Protocol",
            "Endpoint": "properties.Endpoint",
            "ReturnSubscriptionArn": "`true`",
        },
    ),
    delete_operation=Operation("Unsubscribe", {"SubscriptionArn": "id"}),
    physical_id="created.SubscriptionArn",
    attributes={"Arn": "id"},
    settings=tuple(
        Setting(
            name,
            Operation(
                "SetSubscriptionAttributes",
                {"SubscriptionArn": "id", "AttributeName": f"'{name}'", "AttributeValue": "value"},
            ),
            default=default,
            convert=as_text,
        )
        for name, default in (("RawMessageDelivery", "false"), ("FilterPolicy", None))
    ),
)


class TopicPolicy:
    """The policy of one or several topics; without it each has the owner's default."""

    name_property: str | None = None

    def create(self, request: Request) -> Provisioned:
        """Put the policy on every topic."""
        # CloudFormation's own id for the policy: the API has none
        identifier = request.name("Id")
        request.identified(identifier)
        return self._put(request, identifier)

    def update(self, request: Request) -> Provisioned:
        """Put the policy anew, and the default on topics that are gone from the list."""
        for topic in set(request.previous["Topics"]) - set(request.properties["Topics"]):
            _set_policy(request, topic, _default_policy(request, topic))
        return self._put(request, request.physical_id)

    def delete(self, request: Request) -> None:
        """Put the default policy back on every topic that is still there."""
        for topic in request.properties["Topics"]:
            _set_policy(request, topic, _default_policy(request, topic))

    def _put(self, request: Request, identifier: str) -> Provisioned:
        for topic in request.properties["Topics"]:
            client = request.client("sns")
            policy = as_text(request.properties["PolicyDocument"])
            client.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
        return Provisioned(identifier, {"Id": identifier})


def _set_policy(request: Request, topic: str, policy: Mapping[str, Any]) -> None:
    try:
        request.client("sns").set_topic_attributes(
            TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy)
        )
    except ClientError as error:
        if not is_gone(error):
            raise


def _default_policy(request: Request, topic: str) -> dict[str, Any]:
    """What SNS gives a new topic: everything to the account that owns it."""
    return {
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [
            {
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [
                    f"SNS:{action}"
                    for action in (
                        "GetTopicAttributes",
                        "SetTopicAttributes",
                        "AddPermission",
                        "RemovePermission",
                        "DeleteTopic",
                        "Subscribe",
                        "ListSubscriptionsByTopic",
                        "Publish",
                    )
                ],
                "Resource": topic,
                "Condition": {"StringEquals": {"AWS:SourceOwner": request.account}},
            }
        ],
    }
