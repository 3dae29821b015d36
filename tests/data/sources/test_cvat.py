"""CVAT for images 1.1: labels of tags and shapes, classes without a photo, subsets, and refused files."""

from pathlib import Path

import pytest

from tests.data.sources.reading import by_file, labels_of, put, read, recognised, refused

META = """<meta><project><id>3</id><name>kitchen</name><labels>
<label><name>spoon</name><color>#fff</color><type>any</type><attributes><attribute><name>size</name></attribute>
</attributes></label>
<label><name>cup</name></label><label><name>plate</name></label>
<label><name>hand</name><type>skeleton</type><svg>&lt;line&gt;</svg></label>
<label><name>thumb</name><type>points</type><parent>hand</parent></label>
</labels></project></meta>"""


def export(*images: str, meta: str = "") -> str:
    body = f"<version>1.1</version>{meta}{''.join(images)}"
    return f"<?xml version='1.0' encoding='utf-8'?>\n<annotations>{body}</annotations>"


def image(name: str, *inner: str, **more: str) -> str:
    attributes = "".join(f' {key}="{value}"' for key, value in more.items())
    return f'<image id="0" name="{name}" width="4" height="3"{attributes}>{"".join(inner)}</image>'


def tag(label: str, kind: str = "tag") -> str:
    return f'<{kind} label="{label}" source="manual"><attribute name="size">cup</attribute></{kind}>'


def test_tags_and_shapes_give_labels_and_meta_the_classes(tmp_path: Path) -> None:
    skeleton = '<skeleton label="hand"><points label="thumb" points="1,1"/></skeleton>'
    shapes = [tag("plate", kind) for kind in ("box", "polygon", "mask", "ellipse", "cuboid")]
    text = export(image("1.jpg", tag("cup"), *shapes), image("a/2.jpg", skeleton), image("3.jpg"), meta=META)
    put(tmp_path, {"annotations.xml": text, "images/1.jpg": "", "images/a/2.jpg": ""})
    assert recognised(tmp_path / "annotations.xml") == "cvat"
    source = read(tmp_path, "cvat", "annotations.xml")
    assert source.classes == ("spoon", "cup", "plate", "hand")
    assert labels_of(source) == {"images/1.jpg": {"cup", "plate"}, "images/a/2.jpg": {"hand"}, "3.jpg": set()}


def test_subsets_are_splits_and_their_folders(tmp_path: Path) -> None:
    images = [image(f"{i}.jpg", tag("cup"), subset=name) for i, name in enumerate(("Train", "validation", "Test"))]
    put(tmp_path, {"e/annotations.xml": export(*images), "e/images/Train/0.jpg": "", "0.jpg": ""})
    assert by_file(read(tmp_path, "cvat", "e/annotations.xml")) == {
        "e/images/Train/0.jpg": ("train", {"cup"}, set()),
        "e/1.jpg": ("select", {"cup"}, set()),
        "e/2.jpg": ("test", {"cup"}, set()),
    }
    put(
        tmp_path, {"e/annotations.xml": export(image("0.jpg", tag("cup"), subset="second batch")), "e/images/0.jpg": ""}
    )
    assert by_file(read(tmp_path, "cvat", "e/annotations.xml")) == {"e/images/0.jpg": ("", {"cup"}, set())}


def test_several_jobs_are_one_source(tmp_path: Path) -> None:
    jobs = {f"job_{i}/annotations.xml": export(image(f"{i}.jpg", tag(name))) for i, name in enumerate(("cup", "pan"))}
    source = read(put(tmp_path, jobs), "cvat", list(jobs))
    assert source.classes == ("cup", "pan")
    assert labels_of(source) == {"job_0/0.jpg": {"cup"}, "job_1/1.jpg": {"pan"}}


BOMB = '<!DOCTYPE a [<!ENTITY b "cup"><!ENTITY c "&b;&b;">]>'
BAD = {
    "a video": (export('<track id="0" label="cup"><box frame="0"/></track>'), "export of a video"),
    "cut off": (export(image("1.jpg", tag("cup")))[:-9], "not XML"),
    "entities": (BOMB + export(image("1.jpg", tag("&c;")))[38:], "document type"),
    "deep": ("<annotations>" + "<a>" * 10_000, "100 levels deep"),
    "another root": ("<annotation/>", "root element is 'annotation'"),
    "no name": (export("<image id='0'/>"), "Photo number 1 has no name"),
    "a name that leaves the source": (export(image("a/../../../../../x.jpg", tag("cup"))), "leaves the data root"),
    "a label without a name": (export(image("1.jpg", tag(" "))), "has no name"),
    "an unknown encoding": ("<?xml version='1.0' encoding='klingon'?><annotations/>", "not XML"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"annotations.xml": BAD[name][0]})
    refused(BAD[name][1] + ".*annotations.xml", tmp_path, "cvat", "annotations.xml")


def test_a_damaged_export_is_still_recognised(tmp_path: Path) -> None:
    put(tmp_path, {"annotations.xml": BAD["cut off"][0]})
    assert recognised(tmp_path / "annotations.xml") == "cvat"
