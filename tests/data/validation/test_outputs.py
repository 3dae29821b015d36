"""Files of validation: Data Docs, report, baseline that a person accepts."""

import re
import tempfile
from pathlib import Path

import pytest

from sadcl import files
from sadcl.data import table as tables
from sadcl.data.validation import baseline
from sadcl.errors import SadclError
from tests.data.validation.pets import good, judge
from tests.paths import REPOSITORY


def test_a_table_read_from_its_file_gives_the_same_result(tmp_path: Path) -> None:
    table = good(problem={4: "The file is empty."}, labels={9: []})
    tables.write_table(tmp_path / "t.parquet", table)
    read = judge(tables.read_table(tmp_path / "t.parquet"), tmp_path / "docs")
    assert read == judge(table, tmp_path / "docs")


def test_the_same_data_gives_the_same_files_and_validation_is_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    random = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    table = good(height={2: 9}, sha256={0: "a", 11: "a"}, image_id={2: random})
    first, second = (judge(table, tmp_path / name, accepted=baseline.compute_baseline(table)) for name in ("a", "b"))
    assert first == second
    pages = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert pages == sorted(path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*") if path.is_file())
    assert [
        page for page in pages if (tmp_path / "a" / page).read_bytes() != (tmp_path / "b" / page).read_bytes()
    ] == []
    assert any(random in (tmp_path / "a" / page).read_text() for page in pages if page.parts[0] == "validations")
    assert capfd.readouterr() == ("", "")
    assert list(scratch.iterdir()) == []


def test_data_docs_show_the_rules_and_need_no_internet(tmp_path: Path) -> None:
    result = judge(good(height={2: 9}, file={2: "photos/<b>&.jpg"}), tmp_path / "docs")
    docs = tmp_path / "docs"
    index = (docs / "index.html").read_text()
    assert "i2 (photos/&lt;b&gt;&amp;.jpg: 9 px)" in index
    assert all(rule["sentence"].split(",")[0] in index for rule in result["rules"])
    (images,) = docs.glob("validations/images/**/*.html")
    assert "The shorter side of each photo is at least 64 px." in images.read_text()
    for page in docs.rglob("*.html"):
        text = page.read_text()
        assert not re.search(r"""(?:src|href)=["']https?://(?!greatexpectations\.io)|url\(['"]?https?:""", text)
        for link in re.findall(r"""(?:src|href)=["']([^"'#?:]+)["']""", text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_stage_writes_its_files_before_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sadcl.stages import validate as stage

    monkeypatch.chdir(tmp_path)
    recipe = REPOSITORY / "recipes/demo.yaml"
    Path("params.yaml").write_text(recipe.read_text())
    files.write_json("data/accepted.json", None)
    tables.write_table("data/table/annotations.parquet", good(height={2: 9}))
    with pytest.raises(SadclError, match=r"i2 \(photos/2\.jpg: 9 px\)"):
        stage.main()
    assert files.read_json("reports/validation.json")["passed"] is False
    assert Path("reports/data_docs/index.html").exists()


def test_data_is_accepted_by_a_person_alone_who_sees_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sadcl.stages import validate as stage

    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "recipes/demo.yaml").read_text()
    Path("params.yaml").write_text(re.sub(r"min_positives:(\n    .*)+", "min_positives: {}", text))
    files.write_json("data/accepted.json", None)
    tables.write_table("data/table/annotations.parquet", good(labels={11: [0]}, width=dict.fromkeys(range(12), 99)))
    assert "1 with a warning" in stage.main()
    output = capsys.readouterr().out
    assert "warning: Each class has at least 1 photo in test, but 1 breaks this rule: bird (0)" in output
    assert "`sadcl data accept`" in output
    assert files.read_json("data/accepted.json") is None
    assert "12 photos of 3 classes in data/raw/pets, the rarest class is 'bird' with 3, 0 photos have no label" in (
        baseline.accept_data()
    )
    stage.main()
    assert "sadcl data accept" not in capsys.readouterr().out
