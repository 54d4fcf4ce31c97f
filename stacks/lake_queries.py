"""SQL that people begin with: what lies in a dataset, what its quarantine holds, and how a label moves."""

from __future__ import annotations

from mlops_constructs.data_catalog import CatalogTable

from .model_settings import Model


def rows_by_day(prepared: CatalogTable) -> str:
    """How many rows of a dataset are published, by day."""
    return f'SELECT day, count(*) AS "rows"\nFROM {prepared.table_name}\nGROUP BY day\nORDER BY day'


def quarantine_reasons(quarantine: CatalogTable) -> str:
    """Why rows of a dataset are in quarantine, the most frequent reason first."""
    return (
        'SELECT source_table, reason, count(*) AS "rows", min(day) AS first_day, max(day) AS last_day\n'
        f"FROM {quarantine.table_name}\n"
        "GROUP BY source_table, reason\n"
        'ORDER BY "rows" DESC'
    )


def label_by_day(model: Model, prepared: CatalogTable) -> str:
    """The mean of a model's label by day: of a yes-or-no label, the share of yes."""
    label = model.data.label
    return (
        f'SELECT day, count({label}) AS "rows", avg(CAST({label} AS double)) AS mean_{label}\n'
        f"FROM {prepared.table_name}\n"
        "GROUP BY day\n"
        "ORDER BY day"
    )
