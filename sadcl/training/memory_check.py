"""Check before a training that its network and batch fit into the memory of the device."""

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model.network_size import NetworkSize, network_size

ALTERNATIVE = {"head": "ml_decoder"}
"""Settings of the head whose cost hardly grows with the classes: groups of them share a query."""


def require_memory(model: params.Model, training: params.Pretrain, classes: int, memory: int, photos: int) -> str:
    """Describe what training costs; refuse what can't fit.

    Args:
        model: section model.
        training: section pretrain or train.
        classes: C.
        memory: of the device, in bytes.
        photos: of a step that share this memory: the batch, or a process's part of it.

    Returns:
        A sentence for the user.

    Raises:
        SadclError: weights and activations alone are larger than the memory.
    """
    size = network_size(model, classes)
    needed = size.training_bytes(photos, training.precision)
    if needed > memory:
        raise SadclError(
            f"Training needs at least {_gigabytes(needed)}, and this device has {_gigabytes(memory)}: "
            f"{classes:,} classes, {photos} photos a step, {_gigabytes(size.activations)} for each photo",
            where="model.head, batch",
            fix=_smaller(model, training, classes, memory, size, photos),
        )
    return (
        f"{classes:,} classes, {size.parameters / 1e6:.1f} M parameters, "
        f"{size.multiply_adds / 1e9:.2f} G multiply-adds a photo; "
        f"training needs at least {_gigabytes(needed)} of {_gigabytes(memory)}"
    )


def _smaller(
    model: params.Model, training: params.Pretrain, classes: int, memory: int, size: NetworkSize, photos: int
) -> str:
    """Advice for a training that doesn't fit: a smaller batch, or a head that costs less."""
    advice = []
    fixed = size.training_bytes(0, training.precision)
    photo = size.training_bytes(1, training.precision) - fixed
    # half of it, since temporary values take about as much as what a step keeps
    if (batch := (memory - fixed) // (2 * max(photo, 1)) * training.batch // photos) >= 1:
        advice.append(f"Lower batch to {batch}")
    alternative = network_size(model.model_copy(update=ALTERNATIVE), classes)
    cost = alternative.training_bytes(photos, training.precision)
    if model.head != ALTERNATIVE["head"] and cost < memory:
        advice.append(f"set model.head to {ALTERNATIVE['head']}, which needs {_gigabytes(cost)}")
    return ", or ".join(advice) or "Use a smaller backbone or side, or a device with more memory"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
