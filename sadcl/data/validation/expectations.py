"""The Great Expectations door: frames and rules in, verdicts and Data Docs out.

Quiet: no progress bars, no analytics, no warnings, and nothing left in temporary folders.
"""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from sadcl.data.validation import data_docs


class Rule(Protocol):
    """What is asked of a rule; see ``validation_rules.Rule``."""

    @property
    def name(self) -> str: ...
    @property
    def says(self) -> str: ...
    @property
    def frame(self) -> str: ...
    @property
    def expectation(self) -> str: ...
    @property
    def bounds(self) -> Mapping[str, Any]: ...
    @property
    def severity(self) -> str: ...


@dataclass(frozen=True)
class Verdict:
    """Whether a rule is kept, and the rows that do not: index columns and the judged value."""

    kept: bool
    broken: list[dict[str, Any]]


def judge(
    frames: Mapping[str, pd.DataFrame], index: Mapping[str, list[str]], rules: Sequence[Rule], site: Path
) -> dict[str, Verdict]:
    """Let Great Expectations judge frames, and build its pages.

    Args:
        frames: by name.
        index: by frame, the columns that say which row it is.
        rules: each names its frame.
        site: an empty folder for the pages, as Great Expectations makes them.
    """
    with _quiet():
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        data_docs.add_site(context, site)
        verdicts: dict[str, Verdict] = {}
        for name, frame in frames.items():
            verdicts |= _of_frame(context, name, frame, index[name], [rule for rule in rules if rule.frame == name])
        context.build_data_docs(site_names=[data_docs.SITE])
    return verdicts


def _of_frame(
    context: Any, name: str, frame: pd.DataFrame, index: list[str], rules: Sequence[Rule]
) -> dict[str, Verdict]:
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier

    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(name=name))
    for rule in rules:
        suite.add_expectation(_expectation(rule))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    ran = definition.run(
        batch_parameters={"dataframe": frame},
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": index,
            "return_unexpected_index_query": False,  # a list of all broken rows on the page, again
        },
        # no clock: the same data gives the same pages
        run_id=RunIdentifier(run_name="validate", run_time=datetime(2000, 6, 15, tzinfo=UTC)),
    )
    return {one.expectation_config.meta["rule"]: _verdict(one) for one in ran.results}


def _expectation(rule: Rule) -> Any:
    from great_expectations import expectations
    from great_expectations.expectations.row_conditions import Column

    bounds = dict(rule.bounds)
    if "only" in bounds:
        column, value = bounds.pop("only")
        bounds["row_condition"] = Column(column) == value
    make = getattr(expectations, rule.expectation)
    return make(**bounds, severity=rule.severity, description=f"{rule.says}.", meta={"rule": rule.name})


def _verdict(one: Any) -> Verdict:
    """One expectation's result; one about sets names what is missing instead of rows.

    Raises:
        RuntimeError: Great Expectations could not judge it, which is a bug here and no property of the data.
    """
    if one.exception_info.get("raised_exception", True):
        raise RuntimeError(f"{one.expectation_config.meta['rule']}: {one.exception_info}")
    missing = [{"missing": value} for value in one.result.get("partial_missing_list") or []]
    return Verdict(bool(one.success), one.result.get("unexpected_index_list") or missing)


@contextmanager
def _quiet() -> Iterator[None]:
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    log = logging.getLogger("great_expectations")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
