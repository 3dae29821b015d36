"""The page: what a reviewer must find in it, and what must never get into it."""

import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from sadcl import SadclError, files, params
from sadcl.evaluation import scores
from sadcl.model.network import Network
from sadcl.report import html, model_page, model_plots
from sadcl.stages import report
from sadcl.weights import checkpoint, file_head, loader
from tests.networks import WithoutAttention

Make = Callable[..., Path]
EVIL = "<script>alert('x')</script>"
PUBLISHED = {"name": "Published, 448 px", "figures": {"mAP": 85.6, "OF1": 82.1}}


class Top3(params.Section):
    """A rule of one's own, as the documentation adds one."""

    kind: Literal["top3"] = "top3"
    at_least: float = 60.0


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text outside of style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data if self.all and self.all[-1][0] != "style" else ""

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.all if name == tag]


def rendered(root: Path) -> str:
    return model_page.render(root, params.Gate(**yaml.safe_load((root / "params.yaml").read_text())["gate"]))


def test_stage_writes_one_self_contained_page(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make())
    assert "reports/report.html" in report.main()
    text = Path("reports/report.html").read_text(encoding="utf-8")
    elements = Elements(text)
    assert text.lstrip().startswith("<!doctype html>")
    assert len(text.encode()) < 2_000_000
    assert not elements.of("script")
    assert not elements.of("link")
    assert not elements.of("iframe")
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in elements.of("img"))
    addresses = set(re.findall(r"""(?:href|src)="([^"#][^"]*)""", text)) | set(re.findall(r"url\(([^#)][^)]*)", text))
    assert all(address.startswith("data:") for address in addresses)
    assert "@import" not in text


def test_the_same_files_give_the_same_bytes(make: Make) -> None:
    root = make()
    assert rendered(root) == rendered(root)


def test_verdict_comes_first_with_a_row_for_each_rule(make: Make) -> None:
    root = make()
    verdict, text = files.read_json(root / "reports/verdict.json"), Elements(rendered(root)).words
    places = [text.index(words) for words in (verdict["words"], *(rule["words"] for rule in verdict["rules"]))]
    assert places == sorted(places)
    assert places[-1] < text.index("Metrics")
    assert "– not applicable" in text


def test_a_refused_verdict_without_a_map_is_a_page_too(make: Make) -> None:
    """A model whose figures are unknown ends as refused; the page must not fail on the null."""
    text = Elements(rendered(make(no_figures=True))).words
    assert "refused · mAP – ·" in text
    assert "! refused" in text


def test_metrics_are_compared_with_sarl_champion_and_publication(make: Make) -> None:
    root = make(published=PUBLISHED, champion=True)
    figures, text = files.read_json(root / "reports/metrics.json"), Elements(rendered(root)).words
    header = re.search(
        r"SADCL\s*SARL alone\s*Linear probe\s*Champion \(version 3\)\s*Published, 448 px\s*SADCL, raw weights", text
    )
    assert header
    row = text[header.end() :].split("CP")[0]
    shown = f"{figures['sadcl']['mAP']:.2f}", f"{figures['sarl']['mAP']:.2f}"
    probe, other = (f"{figures[name]['mAP']:.2f}" for name in ("probe", "sadcl_other"))
    assert re.findall(r"\d+\.\d\d", row) == [*shown, probe, shown[1], "85.60", other]
    assert "the gate does not use them" in text


def test_what_the_trained_head_is_worth_over_the_probe_is_stated(make: Make) -> None:
    root = make()
    text, figures = Elements(rendered(root)).words, files.read_json(root / "reports/metrics.json")
    value, low, high = files.read_json(root / "reports/verdict.json")["probe"]["difference"]
    assert value == pytest.approx(figures["sadcl"]["mAP"] - figures["probe"]["mAP"])
    assert low <= high
    assert f"The trained head is worth {value:+.2f} mAP ({low:+.2f} to {high:+.2f}) over a linear probe" in text


def test_a_model_that_is_the_probe_has_one_column_and_no_curves_of_training(make: Make) -> None:
    root = make()
    for file in (root / "models/served/weights.safetensors", root / "models/train/weights.safetensors"):
        head = file_head.read_head(file)
        model = {**head["model"], "head": "linear"}
        network = Network(params.Model.model_validate(model), len(head["classes"]), start=False)
        state = {f"ema.network.{name}": tensor for name, tensor in network.state_dict().items()}
        checkpoint.save(file, state, {**head, "model": model})
    verdict = files.read_json(root / "reports/verdict.json")
    files.write_json(root / "reports/verdict.json", {**verdict, "probe": None})
    text = Elements(rendered(root)).words
    assert re.search(r"%\s*Linear probe\s*mAP", text)
    assert "SARL" not in text
    assert "SADCL" not in text
    assert "The trained head is worth" not in text
    assert "Training, stage" not in text
    assert "Next to each photo are the class activation maps of its labels" in text
    assert "attention map" not in text


def test_champion_with_scores_of_other_labels_is_not_compared(make: Make) -> None:
    root = make(champion=True)
    rival = scores.read_scores(root / "reports/champion_scores.parquet")
    scores.write_scores(
        root / "reports/champion_scores.parquet", scores.Scores(**{**vars(rival), "targets": ~rival.targets})
    )
    assert "Champion (version" not in rendered(root)


def test_reason_for_missing_champion_scores_is_shown(make: Make) -> None:
    root = make()
    scores.write_scores(root / "reports/champion_scores.parquet", scores.empty_scores("the <champion> is lost"))
    assert "the &lt;champion&gt; is lost" in rendered(root)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (params.Absolute(kind="absolute", metric="mAP"), ("mAP", "no bound")),
        (params.Cost(kind="cost", of="bytes"), ("bytes", "no bound")),
        (params.Cost(kind="cost", of="bytes", times=1.5), ("bytes", "at most 1.5 times the champion's")),
        (Top3(), ("top3", "at_least 60.0")),
    ],
)
def test_every_rule_has_words(rule: Any, words: tuple[str, str]) -> None:
    """The gate refuses a rule without a bound, and a reviewer reads the page about that."""
    assert model_page._describe_rule(rule) == words


def test_names_are_escaped(make: Make) -> None:
    images = [f'{EVIL}" onerror="alert(1)' + str(i) for i in range(20)]
    text = rendered(make(classes=(EVIL, "$a_{$", "_quiet"), images=images))
    elements = Elements(text)
    assert not elements.of("script")
    assert not any("onerror" in attributes for _, attributes in elements.all)
    assert EVIL in elements.words
    assert "<script" not in text


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_best_and_worst_photos_never_meet(make: Make, count: int) -> None:
    text = rendered(make(images=[f"photo {i:02}" for i in range(count)]))
    shown = re.findall(r"<h3>(photo \d+)</h3>", text)
    assert len(shown) == len(set(shown)) == min(count, 12)
    if count == 20:
        assert shown == [f"photo {i:02}" for i in (19, 18, 17, 16, 15, 14, 0, 1, 2, 3, 4, 5)]


def test_each_label_of_a_shown_photo_has_a_map_and_a_result(make: Make) -> None:
    root = make()
    model_scores, elements = scores.read_scores(root / "reports/scores.parquet"), Elements(rendered(root))
    maps = [image["alt"] for image in elements.of("img") if (image["alt"] or "").startswith("attention map of ")]
    best = [model_scores.ids.index(f"photo {i}") for i in range(6)]
    assert maps[-int(model_scores.targets[best].sum()) :] == [
        f"attention map of {model_scores.classes[j]}"
        for i in best
        for j in sorted(range(3), key=lambda j: -model_scores.logits["sadcl"][i, j])
        if model_scores.targets[i, j]
    ]
    for result in ("found, ", "missed, ", "wrong, "):
        assert result in elements.words


def test_a_head_without_attention_has_photos_and_no_maps(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    load = loader.load_tagger

    def load_without_attention(path: Path) -> Any:
        model = load(path)
        model.network = WithoutAttention(model.network)
        return model

    monkeypatch.setattr(loader, "load_tagger", load_without_attention)
    elements = Elements(rendered(make()))
    assert not any("map of" in (image["alt"] or "") for image in elements.of("img"))
    assert ("Worst photos" in elements.words, "bright areas" in elements.words) == (True, False)


def test_broken_rules_of_validation_stand_first_with_their_rows(make: Make) -> None:
    text = Elements(rendered(make())).words
    assert "1,234 train, 5 select, 20 test photos." in text
    assert "failed validation" in text
    assert "17 rows, the first: <b>a.jpg, b.jpg" in text
    assert text.index("Each image is labelled.") < text.index("Each image has an id of its own.")


def test_provenance_is_shown(make: Make) -> None:
    text = Elements(rendered(folder := make())).words
    bound = params.load(path=folder / "params.yaml").gate.rules[0].at_least
    for fact in ("2307", "32-true", "cpu (1 thread)", "test_efficientnet", f"at least {bound:.2f}", "none yet"):
        assert fact in text


@pytest.mark.parametrize("classes", [1, 10, 30, 31, 80])
def test_every_class_has_its_bar_however_many_there_are(classes: int) -> None:
    rows = [{"class": f"class {i:03}", "AP": str(i), "AP_sarl": str(i / 2)} for i in range(classes)]
    drawn = model_plots.per_class(rows, "SADCL", True)
    assert len(drawn) == -(-classes // 30)
    assert re.findall(r">(class \d+)<", "".join(drawn)) == [f"class {i:03}" for i in range(classes)][::-1]


def test_of_many_classes_the_best_and_the_worst_are_drawn() -> None:
    rows = [{"class": f"class {i:03}", "AP": str(i / 10), "AP_sarl": str(i / 20)} for i in range(500)]
    drawn = model_plots.per_class(rows, "SADCL", True)
    expected = [f"class {i:03}" for i in (*range(499, 469, -1), *range(29, -1, -1))]
    assert re.findall(r">(class \d+)<", "".join(drawn)) == expected


def test_two_hundred_classes_are_listed_by_name_and_escaped(make: Make) -> None:
    """Each with its figures: those without a test photo are in no table of average precision."""
    root = make(classes=[f"{EVIL} {i}" for i in range(200)])
    rows = html.rows(root / "reports/plots/per_class.csv")
    text = rendered(root)
    table = text[text.index("<summary>All classes") :]
    listed = re.findall(r"<tr><td>&lt;script&gt;.*? (\d+)</td><td>([\d.]+)</td><td>([\d.]+)</td><td>(\d+)</td>", table)
    expected = {row["class"].split()[-1]: row for row in rows}
    assert [int(number) for number, *_ in listed] == sorted(map(int, expected))
    for number, ap, ap_sarl, positives in listed:
        row = expected[number]
        assert (ap, ap_sarl) == (f"{float(row['AP']):.2f}", f"{float(row['AP_sarl']):.2f}")
        assert positives == row["positives"]
    assert "<script" not in text


def test_letters_that_no_font_here_has_are_drawn_without_a_warning() -> None:
    assert "犬と猫" in model_plots.per_class([{"class": "犬と猫", "AP": "50", "AP_sarl": "40"}], "SADCL", True)[0]


def test_plots_without_data_are_plots(make: Make) -> None:
    """No class with a test photo, and a training without a select split, which notes zeros."""
    assert model_plots.per_class([], "SADCL", True) == []
    assert model_plots.precision_recall([], 0.5).startswith("<svg")
    row = {"epoch": "1", "classification": "0.5", "select_mAP": "0", "select_mAP_raw": "0", "select_mAP_ema": "0"}
    assert "no select split" in model_plots.training([row], "stage 1")


@pytest.mark.parametrize("count", [1, 2, 80])
def test_epochs_are_whole_numbers(count: int) -> None:
    rows = [{"epoch": str(i + 1), "select_mAP_ema": "50", "select_mAP": "50"} for i in range(count)]
    ticks = re.findall(r">([\d.]+)</text>", model_plots.training(rows, "stage 1").split(">epoch<")[0])
    assert ticks
    assert all(tick.isdecimal() for tick in ticks)


def test_page_without_a_select_split_says_so(make: Make) -> None:
    from sadcl.weights import checkpoint

    root = make()
    path = root / "models/served/weights.safetensors"
    tensors, header = checkpoint.load_tensors(path)
    checkpoint.save(path, tensors, {**header, "select": None})
    assert "since there is no select split" in rendered(root)


@pytest.mark.parametrize(
    "missing",
    [
        "reports/metrics.json",
        "reports/scores.parquet",
        "reports/plots/per_class.csv",
        "models/train/history.csv",
        "reports/shown_photos.safetensors",
    ],
)
def test_a_missing_input_is_named(make: Make, missing: str) -> None:
    root = make()
    (root / missing).unlink()
    with pytest.raises(SadclError, match=Path(missing).name):
        rendered(root)


@pytest.mark.parametrize("changes", [{"images": ["photo 0"]}, {"classes": ["cat"]}])
def test_photos_of_other_scores_are_refused(make: Make, changes: dict[str, list[str]]) -> None:
    shown = (make() / "reports/shown_photos.safetensors").read_bytes()
    root = make(**changes)
    (root / "reports/shown_photos.safetensors").write_bytes(shown)
    with pytest.raises(SadclError, match="belong to other scores"):
        rendered(root)


def test_the_page_needs_no_torch(make: Make) -> None:
    """Its photos come with their maps, so that it is written in the time of its plots."""
    program = "import sys; from sadcl.stages import report; report.main(); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=make(), capture_output=True, text=True, check=True)
    assert ran.stdout.split()[-1] == "False"


def test_scores_of_photos_that_the_shards_lack_are_refused(make: Make) -> None:
    root = make()
    model_scores = scores.read_scores(root / "reports/scores.parquet")
    scores.write_scores(
        root / "reports/scores.parquet", scores.Scores(**{**vars(model_scores), "ids": ["new", *model_scores.ids[1:]]})
    )
    with pytest.raises(SadclError, match="not in the shards"):
        rendered(root)
