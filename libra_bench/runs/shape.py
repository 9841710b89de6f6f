"""What every reader of a run folder's files counts on, looked at when they are read.

What only the pages need is looked at by `report.load`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from libra_bench.core.files import explain


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())


class _Figure(_Part):
    value: float | None = None
    n: int = 0
    signature: str = ""


class _Hashes(_Part):
    cohort: str
    predictions: str


class _Facts(_Part):
    protocol: dict[str, Any] | None = None


class _Summary(_Part):
    run: _Facts = Field(default_factory=_Facts)
    metrics: dict[str, _Figure] = Field(default_factory=dict)
    hashes: _Hashes | None = None
    not_scored: dict[str, dict[str, Any]] = Field(default_factory=dict)


class _Resolved(_Part):
    model: str
    model_id: str
    trained: bool
    data: str
    cohort: str
    cohort_settings: dict[str, Any]
    system: dict[str, Any]


class _Scored(_Part):
    """What scoring a run again needs of its manifest."""

    id: str
    created: str
    resolved: _Resolved


def faults_of_summary(value: Any) -> list[str]:
    """What is wrong with a summary, a sentence each."""
    return _faults(TypeAdapter(_Summary), value)


def faults_of_manifest(value: Any, scoring: type) -> list[str]:
    """What of a manifest keeps its run from being scored again.

    Args:
        scoring: the class whose fields `arguments.scoring` holds.
    """
    faults = _faults(TypeAdapter(_Scored), value)
    recorded = value["arguments"].get("scoring", {})
    faults += [f"arguments.scoring.{one}" for one in _faults(TypeAdapter(scoring), recorded)]
    if isinstance(recorded, dict):
        strange = sorted(set(recorded) - set(getattr(scoring, "__dataclass_fields__", {})))
        faults += [f"arguments.scoring.{name}: unknown" for name in strange]
    return faults


def _faults(adapter: TypeAdapter[Any], value: Any) -> list[str]:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        return explain(error)
    return []
