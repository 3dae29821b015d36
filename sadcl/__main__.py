"""``python -m sadcl``: the same as the command ``sadcl``."""

from sadcl.cli import main

main()
