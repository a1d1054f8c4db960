"""SQL over the project's extract: ``sql("…")`` gives a Result; ``connect()`` gives the plain DBAPI connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from enclave_client.errors import EnclaveError, as_sentence, is_worth_another_try
from enclave_client.session import gateway_address, read_token
from enclave_client.transport import Progress, fetch

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

_SHOWN_ROWS = 20


def connect() -> Any:
    """A DBAPI 2.0 connection (``adbc_driver_flightsql``) with this workspace's current token. Close it when done.

    The token of an open connection runs out after some minutes: open a new one for each piece of work.
    """
    from adbc_driver_flightsql import DatabaseOptions, dbapi

    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {read_token()}"}
    try:
        return dbapi.connect(gateway_address(), db_kwargs=options, autocommit=True)
    except dbapi.Error as error:
        raise EnclaveError(as_sentence(error)) from error


class Result:
    """The rows of one query, all here: ``df()`` pandas, ``pl()`` polars, ``arrow()`` Arrow."""

    def __init__(self, table: pyarrow.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self._table.column_names)

    def arrow(self) -> pyarrow.Table:
        """As a ``pyarrow.Table``."""
        return self._table

    def df(self) -> pandas.DataFrame:
        """As a ``pandas.DataFrame``."""
        return self._table.to_pandas()

    def pl(self) -> polars.DataFrame:
        """As a ``polars.DataFrame``."""
        import polars

        frame = polars.from_arrow(self._table)
        assert isinstance(frame, polars.DataFrame)
        return frame

    def _summary(self) -> str:
        shown = f", first {_SHOWN_ROWS} shown" if len(self) > _SHOWN_ROWS else ""
        return f"{len(self):,} rows × {len(self.columns)} columns{shown}"

    def __repr__(self) -> str:
        return f"{self._table.slice(0, _SHOWN_ROWS).to_pandas().to_string()}\n{self._summary()}"

    def _repr_html_(self) -> str:
        return f"{self._table.slice(0, _SHOWN_ROWS).to_pandas().to_html()}<p>{self._summary()}</p>"


def sql(query: str, params: Sequence[Any] | None = None, *, progress: Progress | None = None) -> Result:
    """Run one statement. ``params`` fill ``?`` marks in order; ``progress`` is told rows and seconds while it runs.

    Interrupting the cell stops the query at the gateway. Raises EnclaveError with the gateway's own sentence.
    """
    import pyarrow

    try:
        return Result(fetch(query, params, progress))
    except (pyarrow.ArrowException, OSError) as error:
        if not is_worth_another_try(error):
            raise EnclaveError(as_sentence(error)) from None
    try:
        return Result(fetch(query, params, progress))
    except (pyarrow.ArrowException, OSError) as error:
        raise EnclaveError(as_sentence(error)) from None
