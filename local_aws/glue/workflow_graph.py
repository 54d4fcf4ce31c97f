"""The graph of a Glue workflow: triggers and jobs as nodes, what starts what as edges."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from local_aws.glue.operations import Record


def workflow_graph(triggers: Sequence[Record], runs: Mapping[str, Sequence[Record]] | None = None) -> Record:
    """Return the nodes and edges; a job is one node, however many triggers start it.

    With `runs`, the job runs of a workflow run by job name, job nodes carry those.
    """
    nodes: dict[str, Record] = {}
    edges: dict[tuple[str, str], Record] = {}

    def job_node(name: str) -> str:
        node = _id("JOB", name)
        details = {"JobRuns": list(runs.get(name, []))} if runs is not None else {}
        nodes.setdefault(node, {"Type": "JOB", "Name": name, "UniqueId": node, "JobDetails": details})
        return node

    for trigger in triggers:
        node = _id("TRIGGER", trigger["Name"])
        details = {"Trigger": trigger}
        nodes[node] = {"Type": "TRIGGER", "Name": trigger["Name"], "UniqueId": node, "TriggerDetails": details}
        ways = [(job_node(each["JobName"]), node) for each in trigger.get("Predicate", {}).get("Conditions", [])]
        ways += [(node, job_node(each["JobName"])) for each in trigger["Actions"]]
        edges |= {way: {"SourceId": way[0], "DestinationId": way[1]} for way in ways}
    return {"Nodes": list(nodes.values()), "Edges": list(edges.values())}


def _id(kind: str, name: str) -> str:
    return f"wnode_{hashlib.sha256(f'{kind}:{name}'.encode()).hexdigest()}"
