"""The rulesets of Glue Data Quality."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from local_aws.glue.operations import Handler, Owner, Record, owner_of, page
from local_aws.glue.quality.evaluation_run import Ruleset
from local_aws.glue.quality.parser import parse_ruleset
from local_aws.glue.quality.rules import AnyRule
from local_aws.glue.quality.sources import catalog
from local_aws.glue.quality.tokens import DqdlError
from local_aws.json_api import ApiError
from local_aws.service import Call, LocalContext

LARGEST_PAGE = 1000
_KEPT: tuple[str, ...] = ("Name", "Description", "Ruleset", "TargetTable")
_CHANGED: tuple[str, ...] = ("Description", "Ruleset")


@dataclass
class _Entry:
    record: Record
    rules: tuple[AnyRule, ...]


class Rulesets:
    """Keeps rulesets by account and region; a text that the local AWS can't evaluate is refused.

    Their tags are moto's, which answers TagResource and GetTags for any ARN.
    """

    def __init__(self, context: LocalContext) -> None:
        self._context = context
        self._lock = threading.RLock()
        self._entries: dict[Owner, dict[str, _Entry]] = {}
        self.operations: dict[str, Handler] = {
            "CreateDataQualityRuleset": self._create,
            "GetDataQualityRuleset": self._get,
            "UpdateDataQualityRuleset": self._update,
            "DeleteDataQualityRuleset": self._delete,
            "ListDataQualityRulesets": self._list,
        }

    def rules(self, owner: Owner, name: str) -> Ruleset:
        """Return a ruleset as it is now."""
        with self._lock:
            return Ruleset(name, self._entry(owner, name).rules)

    def _create(self, call: Call, request: Record) -> Record:
        if "DataQualitySecurityConfiguration" in request:
            raise ApiError("InvalidInputException", "the local AWS has no security configurations of data quality")
        name, rules = request["Name"], _parsed(request["Name"], request["Ruleset"])
        now = datetime.now(UTC)
        kept: Record = {member: request[member] for member in _KEPT if member in request}
        with self._lock:
            entries = self._entries.setdefault(owner_of(call), {})
            if name in entries:
                raise ApiError("AlreadyExistsException", f"Data quality ruleset already exists: {name}")
            entries[name] = _Entry({**kept, "CreatedOn": now, "LastModifiedOn": now}, rules)
        if request.get("Tags"):
            glue = catalog(self._context, owner_of(call))
            glue.tag_resource(ResourceArn=_arn(owner_of(call), name), TagsToAdd=request["Tags"])
        return {"Name": name}

    def _get(self, call: Call, request: Record) -> Record:
        with self._lock:
            return dict(self._entry(owner_of(call), request["Name"]).record)

    def _update(self, call: Call, request: Record) -> Record:
        with self._lock:
            entry = self._entry(owner_of(call), request["Name"])
            if "Ruleset" in request:
                entry.rules = _parsed(request["Name"], request["Ruleset"])
            changed: Record = {member: request[member] for member in _CHANGED if member in request}
            entry.record |= {**changed, "LastModifiedOn": datetime.now(UTC)}
            return dict(entry.record)

    def _delete(self, call: Call, request: Record) -> Record:
        with self._lock:
            self._entry(owner_of(call), request["Name"])
            del self._entries[owner_of(call)][request["Name"]]
        arn, tags = _arn(owner_of(call), request["Name"]), self._tags(owner_of(call), request["Name"])
        if tags:
            catalog(self._context, owner_of(call)).untag_resource(ResourceArn=arn, TagsToRemove=list(tags))
        return {}

    def _list(self, call: Call, request: Record) -> Record:
        wanted, tags = request.get("Filter", {}), request.get("Tags", {})
        owner = owner_of(call)
        with self._lock:
            found = [
                {**entry.record, "RuleCount": len(entry.rules)}
                for entry in self._entries.get(owner, {}).values()
                if _fits(entry.record, wanted)
            ]
        if tags:
            found = [record for record in found if tags.items() <= self._tags(owner, record["Name"]).items()]
        shown, token = page(found, request, LARGEST_PAGE)
        return {"Rulesets": shown, "NextToken": token}

    def _tags(self, owner: Owner, name: str) -> dict[str, str]:
        return dict(catalog(self._context, owner).get_tags(ResourceArn=_arn(owner, name))["Tags"])

    def _entry(self, owner: Owner, name: str) -> _Entry:
        entry = self._entries.get(owner, {}).get(name)
        if entry is None:
            raise ApiError("EntityNotFoundException", f"Data quality ruleset not found: {name}")
        return entry


def _parsed(name: str, text: str) -> tuple[AnyRule, ...]:
    try:
        return tuple(parse_ruleset(text))
    except DqdlError as error:
        raise ApiError("InvalidInputException", f"ruleset {name}: {error}") from error


def _arn(owner: Owner, name: str) -> str:
    account, region = owner
    return f"arn:aws:glue:{region}:{account}:dataQualityRuleset/{name}"


def _fits(record: Record, wanted: Record) -> bool:
    for member, value in wanted.items():
        if member in ("Name", "Description"):
            fits = value in record.get(member, "")
        elif member == "TargetTable":
            table = record.get("TargetTable", {})
            fits = all(table.get(part) == value[part] for part in ("DatabaseName", "TableName") if part in value)
        else:
            moment = record["CreatedOn" if member.startswith("Created") else "LastModifiedOn"].timestamp()
            fits = moment < value if member.endswith("Before") else moment > value
        if not fits:
            return False
    return True
