"""Catalogue of the paper's public data sets: addresses, sizes and checksums of their original files.

Each size and checksum names its source. Those that are unknown are recorded at the first fetch
(``data/raw/NAME.sources.json``, to be committed), and later fetches have to agree with the record.
"""

from dataclasses import dataclass

from sadcl.errors import SadclError

_TFDS = "tensorflow/datasets, url_checksums/coco.txt"
_TORCHVISION = "size: tensorflow/datasets, url_checksums/voc.txt (of a mirror); md5: torchvision 0.28, datasets/voc.py"
_COCO = "http://images.cocodataset.org"
_VOC = "https://thor.robots.ox.ac.uk/pascal/VOC"
_NUS = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide"
_VG = "https://cs.stanford.edu/people/rak248/VG_100K_2"
_SSGRL = "https://raw.githubusercontent.com/HCPLab-SYSU/SSGRL"
_VOC_PARTS = ("VOCdevkit/*/Annotations/*", "VOCdevkit/*/ImageSets/Main/*", "VOCdevkit/*/JPEGImages/*")


@dataclass(frozen=True)
class Original:
    """An original file: an archive by its suffix, or a file that is copied as it is.

    Attributes:
        file: its name.
        url: its public address; empty where it has none, so that only a folder or mirror can supply it.
        size: in bytes, where it is known.
        checksum: ``sha256:...`` or ``md5:...``, where it is known.
        known_from: source of size and checksum.
        keep: patterns of the names inside that training needs (``*`` also matches ``/``).
        drop: top folder inside the archive to strip from its names.
        into: folder of the data set that its files go to.
    """

    file: str
    url: str = ""
    size: int | None = None
    checksum: str = ""
    known_from: str = ""
    keep: tuple[str, ...] = ("*",)
    drop: str = ""
    into: str = ""


@dataclass(frozen=True)
class DataSet:
    """A public set of photos with labels.

    Attributes:
        name: of its folder below ``data/raw``.
        originals: its files.
        by_hand: instruction for what people have to add: files without an address or, where every file has one, photos.
        recipe: name of the recipe that becomes the settings of a project without any.
    """

    name: str
    originals: tuple[Original, ...]
    by_hand: str = ""
    recipe: str = ""


def _coco(path: str, size: int, sha256: str, *keep: str) -> Original:
    url = f"{_COCO}/{path}"
    return Original(url.rsplit("/", 1)[1], url, size, f"sha256:{sha256}", _TFDS, keep or ("*.jpg",))


def _coco_set(year: int, annotations: tuple[int, str], train: tuple[int, str], val: tuple[int, str]) -> DataSet:
    """COCO of a year, by size in bytes and SHA-256 of its three archives."""
    instances = _coco(f"annotations/annotations_trainval{year}.zip", *annotations, "annotations/instances_*.json")
    photos = (_coco(f"zips/{part}{year}.zip", *facts) for part, facts in (("train", train), ("val", val)))
    return DataSet(f"coco{year}", (instances, *photos), recipe=f"coco{year}-r101-448")


def _voc(year: int, file: str, size: int, md5: str) -> Original:
    return Original(file, f"{_VOC}/voc{year}/{file}", size, f"md5:{md5}", _TORCHVISION, _VOC_PARTS)


def _nus(file: str, folder: str = "") -> Original:
    return Original(file, f"{_NUS}/{file}", keep=("*.txt",), drop=folder, into=folder)


def _vg(file: str, folder: str) -> Original:
    return Original(file, f"{_VG}/{file}", keep=("*.jpg",), drop=folder, into="images")


_VOC_2007_TEST = _voc(2007, "VOCtest_06-Nov-2007.tar", 451020800, "b6e924de25625d8de591ea690078ad9f")

DATA_SETS = (
    _coco_set(
        2014,
        (252872794, "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009"),
        (13510573713, "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775"),
        (6645013297, "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0"),
    ),
    _coco_set(
        2017,
        (252907541, "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"),
        (19336861798, "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"),
        (815585330, "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"),
    ),
    DataSet(
        "voc2007",
        (
            _voc(2007, "VOCtrainval_06-Nov-2007.tar", 460032000, "c52e279531787c972589f7e41ab4ae64"),
            _VOC_2007_TEST,
        ),
        recipe="voc2007-r101-448",
    ),
    DataSet(
        "voc2012",
        (
            _voc(2012, "VOCtrainval_11-May-2012.tar", 1999639040, "6cd6e144f989b92b3379bac3b3de84fd"),
            _VOC_2007_TEST,
            Original("VOC2012test.tar", keep=_VOC_PARTS),
        ),
        "The test photos of VOC 2012 (VOC2012test.tar) need a login on the evaluation server: "
        "put the file into a folder and run this again with `--from FOLDER`",
        "voc2012-r101-448",
    ),
    DataSet(
        "nuswide",
        (_nus("ImageList.zip", "ImageList"), _nus("Groundtruth.zip", "Groundtruth"), _nus("ConceptsList.zip")),
        "NUS-WIDE publishes lists only: put your photos into data/raw/nuswide/Flickr",
        "nuswide-r101-448",
    ),
    DataSet(
        "vg500",
        (
            _vg("images.zip", "VG_100K"),
            _vg("images2.zip", "VG_100K_2"),
            *(
                Original(f"{split}_list_500.txt", f"{_SSGRL}/{commit}/data/VG/{split}_list_500.txt")
                for split, commit in (
                    ("train", "0c249d7e498e3e1e5345032e9b6e830a64309456"),
                    ("test", "d2ab5d95a134f6c528f5bbdabd85c2d129e848a6"),
                )
            ),
            Original("vg_category_500_labels_index.json"),
        ),
        "The index of labels, vg_category_500_labels_index.json, comes from the page of SSGRL's authors "
        "(github.com/HCPLab-SYSU/SSGRL): put it into data/raw/vg500",
        "vg500-r101-576",
    ),
)  # fmt: skip


def find(name: str) -> DataSet:
    """Look a data set up by its name.

    Raises:
        SadclError: the catalogue has no such name.
    """
    known = {data_set.name: data_set for data_set in DATA_SETS}
    if name not in known:
        raise SadclError(
            f"There is no public data set {name!r} in the catalogue", fix=f"Choose one of {', '.join(known)}"
        )
    return known[name]
