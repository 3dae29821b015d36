"""Adapter of Great Expectations: frames and rules in, verdicts and Data Docs out.

It prints nothing, sends no analytics, raises no warnings, and leaves no temporary files.
"""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from sadcl.data.validation import data_docs
from sadcl.data.validation.rules import Rule


@dataclass(frozen=True)
class Verdict:
    """Result of one rule.

    Attributes:
        passed: whether the data keeps the rule.
        failed_rows: index columns and judged value of each row that breaks it.
    """

    passed: bool
    failed_rows: list[dict[str, Any]]


def judge(
    frames: Mapping[str, pd.DataFrame], index: Mapping[str, list[str]], rules: Sequence[Rule], site: Path
) -> dict[str, Verdict]:
    """Check frames against rules with Great Expectations, and build its pages.

    Args:
        frames: by name.
        index: columns that identify a row, by frame.
        rules: each names its frame.
        site: empty folder for the pages.

    Returns:
        Verdicts by name of the rule.
    """
    with _silenced():
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        data_docs.add_site(context, site)
        verdicts: dict[str, Verdict] = {}
        for name, frame in frames.items():
            verdicts |= _judge_frame(context, name, frame, index[name], [rule for rule in rules if rule.frame == name])
        context.build_data_docs(site_names=[data_docs.SITE])
    return verdicts


def _judge_frame(
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
    result = definition.run(
        batch_parameters={"dataframe": frame},
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": index,
            "return_unexpected_index_query": False,  # it would repeat all failed rows on the page
        },
        # a fixed time: equal data gives equal pages
        run_id=RunIdentifier(run_name="validate", run_time=datetime(2000, 6, 15, tzinfo=UTC)),
    )
    return {outcome.expectation_config.meta["rule"]: _verdict(outcome) for outcome in result.results}


def _expectation(rule: Rule) -> Any:
    from great_expectations import expectations
    from great_expectations.expectations.row_conditions import Column

    bounds = dict(rule.bounds)
    if "only" in bounds:
        column, value = bounds.pop("only")
        bounds["row_condition"] = Column(column) == value
    kind = getattr(expectations, rule.expectation)
    return kind(**bounds, severity=rule.severity, description=f"{rule.statement}.", meta={"rule": rule.name})


def _verdict(outcome: Any) -> Verdict:
    """Verdict of one expectation; one about sets lists missing values instead of rows.

    Raises:
        RuntimeError: Great Expectations failed on it, which is a bug here and no property of the data.
    """
    if outcome.exception_info.get("raised_exception", True):
        raise RuntimeError(f"{outcome.expectation_config.meta['rule']}: {outcome.exception_info}")
    missing = [{"missing": value} for value in outcome.result.get("partial_missing_list") or []]
    return Verdict(bool(outcome.success), outcome.result.get("unexpected_index_list") or missing)


@contextmanager
def _silenced() -> Iterator[None]:
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
