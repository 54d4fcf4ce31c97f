"""Which tables a query reads, and what its predicates say about their partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from local_aws.athena.catalog import CATALOG, Table
from local_aws.athena.failures import QueryFailure

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
# what makes a predicate more than a question about the row at hand, or leaves open what it does
_OPEN = (exp.Query, exp.AggFunc, exp.Window, exp.Rand, exp.Uuid, exp.Anonymous, exp.Lambda)


@dataclass
class Reference:
    """One place in a query where a table is read. `predicates` hold for every row of it that counts."""

    node: exp.Table
    table: Table
    predicates: list[exp.Expr] = field(default_factory=list)

    def wanted(self) -> dict[str, set[str]]:
        """Return the values that partition keys may have, where the predicates list them."""
        found: dict[str, set[str]] = {}
        for predicate in self.predicates:
            column, values = _listed(predicate)
            if column is not None and values:
                found[column] = found[column] & values if column in found else values
        return found


def references(tree: exp.Expr, database: str | None, find: Callable[[str, str, str], Table]) -> list[Reference]:
    """Return every place where a query reads a table; `find` gets database, name and place of a table."""
    scopes = traverse_scope(tree)
    by_node: dict[int, Reference] = {}
    ctes: set[int] = set()
    for scope in scopes:
        for node in scope.tables:
            source = scope.sources.get(node.alias_or_name)
            if isinstance(source, Scope) and not node.db:
                ctes.add(id(node))
            elif id(node) not in by_node:
                by_node[id(node)] = Reference(node, _find(node, database, find))
    for node in tree.find_all(exp.Table):
        if id(node) not in by_node and id(node) not in ctes:
            raise QueryFailure(f"NOT_SUPPORTED: {place(node)}{node.sql('athena')!r} can't be read locally")
    for scope in scopes:
        _read_predicates(scope, by_node)
    return list(by_node.values())


def place(node: exp.Expr) -> str:
    """Return where in the query a node stands, as Athena writes it: `line 1:15: `."""
    first = next((each.meta for each in node.walk() if "line" in each.meta), None)
    # sqlglot notes where a name ends
    return f"line {first['line']}:{first['col'] - (first['end'] - first['start'])}: " if first else ""


def _find(node: exp.Table, database: str | None, find: Callable[[str, str, str], Table]) -> Table:
    where = place(node)
    if not isinstance(node.this, exp.Identifier):
        raise QueryFailure(f"FUNCTION_NOT_FOUND: {where}Table function {node.this.sql('athena')} is not registered")
    catalog = node.catalog.lower()
    if catalog and catalog != CATALOG:
        raise QueryFailure(f"CATALOG_NOT_FOUND: {where}Catalog '{catalog}' does not exist")
    schema = node.db.lower() or (database or "").lower()
    if not schema:
        raise QueryFailure(
            f"MISSING_SCHEMA_NAME: {where}Schema must be specified when session schema is not set: write "
            f"database.{node.name}, or name one in QueryExecutionContext"
        )
    if schema == "information_schema":
        raise QueryFailure(f"NOT_SUPPORTED: {where}the local AWS has no information_schema: use SHOW and DESCRIBE")
    return find(schema, node.name.lower(), where)


def _read_predicates(scope: Scope, by_node: dict[int, Reference]) -> None:
    sources = {
        name: by_node.get(id(node)) if isinstance(source, exp.Table) else None
        for name, (node, source) in scope.selected_sources.items()
    }
    select = scope.expression
    if not isinstance(select, exp.Select):
        return
    _check_types(select, sources)
    for name, reference in sources.items():
        if reference is None or not reference.table.keys:
            continue
        keys = {key.name for key in reference.table.keys}
        for predicate in _conjuncts(select, name):
            owners = {_owner(column, sources) for column in predicate.find_all(exp.Column)}
            names = {column.name.lower() for column in predicate.find_all(exp.Column)}
            if owners == {name} and names <= keys and not any(predicate.find_all(*_OPEN)):
                reference.predicates.append(predicate)


def _conjuncts(select: exp.Select, name: str) -> Iterator[exp.Expr]:
    """Yield the predicates that each row of a source has to meet to count.

    Of a side that an outer join fills up with NULL only the join's own ON says that.
    """
    joins: list[exp.Join] = select.args.get("joins") or []
    own = next((index for index, join in enumerate(joins) if join.this.alias_or_name == name), None)
    later = joins if own is None else joins[own + 1 :]
    optional = any(join.side in ("RIGHT", "FULL") for join in later)
    if own is not None:
        join = joins[own]
        optional = optional or join.side in ("LEFT", "FULL")
        if join.side in ("", "LEFT") and join.args.get("on"):
            yield from _parts(join.args["on"])
    where = select.args.get("where")
    if where is not None and not optional:
        yield from _parts(where.this)


def _parts(condition: exp.Expr) -> Iterator[exp.Expr]:
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        yield from _parts(condition.left)
        yield from _parts(condition.right)
    else:
        yield condition


def _owner(column: exp.Column, sources: dict[str, Reference | None]) -> str | None:
    """Return the source that a column is of; None if that isn't certain."""
    if column.table:
        return column.table if column.table in sources else None
    if None in sources.values():
        return None
    name = column.name.lower()
    owners = [source for source, reference in sources.items() if reference and name in reference.table.types]
    return owners[0] if len(owners) == 1 else None


def _check_types(select: exp.Select, sources: dict[str, Reference | None]) -> None:
    """Refuse comparisons of dates or numbers with strings: Athena has no implicit casts, DuckDB has."""
    for node in select.find_all(*_COMPARISONS, exp.Between, exp.In):
        if node.find_ancestor(exp.Select) is not select:
            continue
        operands = [node.this, *node.expressions, *(node.args.get(each) for each in ("expression", "low", "high"))]
        column = next((each for each in operands if isinstance(each, exp.Column)), None)
        literal = next((each for each in operands if isinstance(each, exp.Literal)), None)
        owner = sources.get(_owner(column, sources) or "") if column is not None else None
        kind = owner.table.types.get(column.name.lower()) if owner and column is not None else None
        if kind is None or literal is None or column is None:
            continue
        if kind.startswith(("string", "varchar", "char")) != literal.is_string:
            other = f"varchar({len(literal.this)})" if literal.is_string else "integer"
            raise QueryFailure(
                f"TYPE_MISMATCH: {place(column)}Cannot apply operator: {_trino(kind)} {_sign(node)} {other}"
            )


def _sign(node: exp.Expr) -> str:
    signs: dict[type[exp.Expr], str] = {
        exp.EQ: "=",
        exp.NEQ: "<>",
        exp.GT: ">",
        exp.GTE: ">=",
        exp.LT: "<",
        exp.LTE: "<=",
        exp.In: "IN",
    }
    return signs.get(type(node), "BETWEEN")


def _trino(kind: str) -> str:
    return {"int": "integer", "float": "real", "string": "varchar", "timestamp": "timestamp(3)"}.get(kind, kind)


def _listed(predicate: exp.Expr) -> tuple[str | None, set[str]]:
    """Return the column and the values of `column = value` and `column IN (values)`."""
    if isinstance(predicate, exp.EQ):
        column, values = predicate.this, [predicate.expression]
        if not isinstance(column, exp.Column):
            column, values = values[0], [column]
    elif isinstance(predicate, exp.In):
        column, values = predicate.this, predicate.expressions
    else:
        return None, set()
    texts = [value.this if isinstance(value, exp.Cast) else value for value in values]
    if not isinstance(column, exp.Column) or not all(isinstance(text, exp.Literal) for text in texts):
        return None, set()
    return column.name.lower(), {str(text.this) for text in texts}
