"""List of recipes: purpose, published figure, the size of its network, and the memory that it needs."""

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path

from sadcl import files, layout, params
from sadcl.errors import SadclError
from sadcl.model.network_size import NetworkSize, network_size
from sadcl.progress import track

SIZES = layout.CACHE / "network_sizes.json"
CLASSES = {"voc2007": 20, "voc2012": 20, "nuswide": 81, "vg500": 500, "scenes": 10}
"""Classes of the sources of recipes, by name; COCO's 80 for any other."""
WIDTH, NAME = 80, 33
ROW = f"{{:<{NAME}}}{{:>5}}{{:>12}}{{:>10}}{{:>9}}  {{}}"


def describe() -> Iterator[str]:
    """Describe all recipes of the project and the package, in lines of at most 80 columns.

    Raises:
        SadclError: the device that ``SADCL_DEVICE`` names is not available.
    """
    settings = _read_all()
    sizes = _sizes(settings)
    from sadcl.model import device

    target = device.pick()
    memory = device.memory(target)
    yield ROW.format("recipe", "mAP", "parameters", "mult-adds", "memory", "").rstrip()
    for name, path in params.known_recipes().items():
        recipe, size = settings[name], sizes.get(name)
        yield from _row(name, recipe, size, memory).splitlines()
        yield from textwrap.wrap(_task(path), WIDTH, initial_indent="  ", subsequent_indent="  ")
    yield ""
    yield from textwrap.wrap(
        "mAP is the published figure that the report shows next to yours. Multiply-adds are those of one photo in use, "
        "memory is estimated for training with the recipe's batch; recipes of your own count with 80 classes. "
        f"This machine has {memory / 1e9:.0f} GB "
        f"({target.type}); too large a batch can be lowered in params.yaml, and several GPUs share it.",
        WIDTH,
    )


def _read_all() -> dict[str, params.Params | SadclError]:
    """Settings of each recipe, or why they can't be read."""
    out: dict[str, params.Params | SadclError] = {}
    for name, path in params.known_recipes().items():
        try:
            out[name] = params.load(path=path)
        except SadclError as error:
            out[name] = error
    return out


def _sizes(recipes: dict[str, params.Params | SadclError]) -> dict[str, NetworkSize | SadclError]:
    """Size of each recipe's network; the figures are cached until the settings or a library change."""
    usable = {name: recipe for name, recipe in recipes.items() if isinstance(recipe, params.Params)}
    keys = {name: _key(recipe) for name, recipe in usable.items()}
    cached = _cached_sizes()
    sizes: dict[str, NetworkSize | SadclError] = {}
    missing = {key: usable[name] for name, key in keys.items() if key not in cached}
    failed: dict[str, SadclError] = {}
    for key, recipe in track(list(missing.items()), "sizes of networks", unit="networks"):
        try:
            cached[key] = network_size(recipe.model, _class_count(recipe))
        except SadclError as error:
            failed[key] = error
    if missing and layout.LOCAL.is_dir():
        files.write_json(SIZES, {key: asdict(cached[key]) for key in keys.values() if key in cached})
    for name, key in keys.items():
        sizes[name] = cached[key] if key in cached else failed[key]
    return sizes


def _cached_sizes() -> dict[str, NetworkSize]:
    try:
        return {key: NetworkSize(**row) for key, row in files.read_json(SIZES).items()}
    except (SadclError, AttributeError, TypeError):  # missing or damaged: they are computed again
        return {}


def _key(settings: params.Params) -> str:
    libraries = [version(name) for name in ("sadcl", "timm", "torch")]
    return files.digest_of([settings.model.model_dump(mode="json"), _class_count(settings), libraries])


def _class_count(settings: params.Params) -> int:
    return CLASSES.get(settings.ingest.source, 80)


def _row(name: str, recipe: params.Params | SadclError, size: NetworkSize | SadclError | None, memory: int) -> str:
    problem = next((each for each in (recipe, size) if isinstance(each, SadclError)), None)
    if problem is not None or not isinstance(recipe, params.Params) or not isinstance(size, NetworkSize):
        return textwrap.fill(f"{name}: can't be used. {problem}", WIDTH, subsequent_indent="  ")
    published = (recipe.gate.published.figures if recipe.gate.published else {}).get("mAP")
    needed = size.training_bytes(recipe.pretrain.batch, recipe.pretrain.precision)
    # a longer name has a line of its own
    return ROW.format(
        name if len(name) < NAME else f"{name}\n{'':<{NAME}}",
        "-" if published is None else f"{published:.1f}",
        f"{size.parameters / 1e6:.1f} M",
        f"{size.multiply_adds / 1e9:.1f} G",
        f"{needed / 1e9:.1f} GB" if needed < 1e12 else f"{needed / 1e12:.0f} TB",
        "fits" if needed < memory else "too large",
    )


def _task(path: Path) -> str:
    """Purpose of a recipe: the first line of the comment at its head."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):  # its row has the reason
        return ""
    head = [line.lstrip("# ").strip() for line in takewhile(lambda line: line.startswith("#"), lines)]
    return head[0].partition(": ")[2] if head else ""
