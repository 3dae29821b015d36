"""Units of settings: annotated types for the settings reference; they validate nothing."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Unit:
    """The unit of a setting, as the settings reference prints it."""

    name: str


Pixels = Annotated[int, Unit("px")]
Epochs = Annotated[float, Unit("epochs")]
WholeEpochs = Annotated[int, Unit("epochs")]
Images = Annotated[int, Unit("images")]
Share = Annotated[float, Unit("share, 0 to 1")]
Percent = Annotated[float, Unit("%")]
Points = Annotated[float, Unit("percentage points")]
Layers = Annotated[int, Unit("layers")]
Dimensions = Annotated[int, Unit("dimensions")]
