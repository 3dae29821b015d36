"""Checks of a storage on a database server, for ``sadcl doctor``."""

import os
import time
from collections.abc import Iterator

from sadcl import databases
from sadcl.processes import OPTUNA_STORAGE
from sadcl.tuning import storage
from sadcl.tuning.outage import reason

OLDEST = 13
"""Oldest version of PostgreSQL that its project still corrected when this was written."""

CLOCK = 60.0
"""Seconds by which this machine's clock may differ from the server's: times of trials are those of their machines."""


def problems() -> Iterator[str]:
    """One sentence for each problem of the server named in ``SADCL_OPTUNA_STORAGE``; none without a server.

    Raises:
        SadclError: the address is no valid one, or the driver is missing.
    """
    where = storage.address()
    if not os.environ.get(OPTUNA_STORAGE) or databases.sqlite_file(where):
        return
    import sqlalchemy

    shown = databases.without_login(where)
    url = storage.database_url(where)
    engine = sqlalchemy.create_engine(url, **storage.engine_options(where), poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            before = time.time()
            version, clock = connection.execute(
                sqlalchemy.text("SELECT current_setting('server_version_num'), extract(epoch FROM clock_timestamp())")
            ).one()
            after = time.time()
    except sqlalchemy.exc.SQLAlchemyError as error:
        fix = f"start the server, or check {OPTUNA_STORAGE}"
        yield f"The storage of studies does not answer ({shown}): {reason(error)}; {fix}."
        return
    if int(version) // 10_000 < OLDEST:
        yield f"The storage of studies is PostgreSQL {int(version) // 10_000} ({shown}); {OLDEST} or later is needed."
    # the answer's own time lies between the two readings of this clock
    off = max(before - float(clock), float(clock) - after)
    if off > CLOCK:
        yield f"This machine's clock and that of the storage ({shown}) differ by {off:.0f} s; set both by NTP."
