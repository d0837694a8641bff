"""A store in PostgreSQL with the extension pgvector, where a team's data often is already.

Takes: an address such as `postgresql://user@host/database?table=news`; the rest of it is libpq's.
Gives: a `VectorStore` in a table of its own, beside others, open to several writers.
Source: pgvector 0.8, "Querying" and "HNSW"; psycopg 3.

The table has the columns id, text, lang, metadata (jsonb) and embedding; other programs may read
it. What the vectors are of stands in the table `labse_indexes`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError, ResourceError, UsageError
from labse.index.rows import OWN_COLUMNS, Hit, IndexRow, columns_of
from labse.index.store import StoreHeader, StoreInfo, close_on_error, extend_columns, sort_hits
from labse.index.where import And, Compare, Equals, IsMissing, Not, Or, Where
from labse.runtime import require

__all__ = ["PostgresStore"]

_HEADERS = "labse_indexes"
_TABLE = re.compile(r"[a-z_][a-z0-9_]{0,47}")
_ROW = "id, text, lang, metadata"
_GRAPH_EF = 512
_CONNECT_SECONDS = "10"

_Sql = tuple[str, list[object]]


class PostgresStore:
    """A table in a database; see `VectorStore`."""

    folder: Path | None = None

    def __init__(self, address: str, header: StoreHeader) -> None:
        """Connects; is called by `create` and `open`."""
        self.header = header
        self._psycopg = require("psycopg", "postgres")
        conninfo, self._table, self.name = _split_address(address)
        with self._told():
            self._connection = self._psycopg.connect(conninfo, autocommit=True)

    @classmethod
    def create(cls, address: str, header: StoreHeader) -> Self:
        """Makes an empty store.

        Raises:
            UsageError: a table of this name is there.
            ResourceError: the server cannot be reached, or a package or the extension is missing.
        """
        store = cls(address, header)
        table = store._table
        with close_on_error(store), store._told(), store._connection.transaction():
            if store._value("SELECT to_regclass(%s)", [table]) is not None:
                raise UsageError(
                    f"{store.name}: the table {table} is there already; labse index add adds to "
                    "an index"
                )
            store._run("CREATE EXTENSION IF NOT EXISTS vector")
            store._run(
                f"CREATE TABLE IF NOT EXISTS {_HEADERS} (name text PRIMARY KEY, header jsonb)"
            )
            store._run(
                f"CREATE TABLE {table} (id text PRIMARY KEY, text text NOT NULL, "
                "lang text NOT NULL, metadata jsonb NOT NULL, "
                f"embedding vector({header.embedding_size}) NOT NULL)"
            )
            store._run(f"CREATE INDEX ON {table} (lang)")
            store._run(f"CREATE INDEX ON {table} USING gin (metadata jsonb_path_ops)")
            store._write_header()
        return store

    @classmethod
    def open(cls, address: str) -> Self:
        """Opens a store.

        Raises:
            LabseError: there is none of this name.
            ResourceError: the server cannot be reached, or the package is missing.
        """
        store = cls(address, StoreHeader("", 1))
        with close_on_error(store), store._told():
            found = None
            if store._value("SELECT to_regclass(%s)", [_HEADERS]) is not None:
                statement = f"SELECT header FROM {_HEADERS} WHERE name = %s"
                found = store._value(statement, [store._table])
            if found is None:
                raise LabseError(f"{store.name}: no index; labse index FILES --out makes one")
            store.header = StoreHeader.from_json(found, store.name)
        return store

    def add(self, rows: Sequence[IndexRow], embeddings: NDArray[np.float32]) -> int:
        """See `VectorStore`; all rows of a call are there, or none."""
        with self._told(), self._connection.transaction():
            self._extend_columns(rows)
            cursor = self._connection.cursor()
            cursor.execute(f"CREATE TEMP TABLE added (LIKE {self._table}) ON COMMIT DROP")
            with cursor.copy(f"COPY added ({_ROW}, embedding) FROM STDIN") as copy:
                for row, vector in zip(rows, embeddings.tolist(), strict=True):
                    metadata = json.dumps(dict(row.metadata))
                    copy.write_row((row.id, row.text, row.lang, metadata, str(vector)))
            num_replaced = self._value(f"SELECT count(*) FROM added JOIN {self._table} USING (id)")
            cursor.execute(
                f"INSERT INTO {self._table} ({_ROW}, embedding) "
                f"SELECT {_ROW}, embedding FROM added "
                "ON CONFLICT (id) DO UPDATE SET text = EXCLUDED.text, lang = EXCLUDED.lang, "
                "metadata = EXCLUDED.metadata, embedding = EXCLUDED.embedding"
            )
        return int(num_replaced)

    def delete(self, ids: Sequence[str]) -> int:
        """See `VectorStore`."""
        with self._told():
            cursor = self._connection.execute(
                f"DELETE FROM {self._table} WHERE id = ANY(%s)", [list(ids)]
            )
            return int(cursor.rowcount)

    def search(
        self, queries: NDArray[np.float32], k: int, where: Where | None = None
    ) -> list[list[Hit]]:
        """See `VectorStore`."""
        condition, values = _to_sql(where)
        statement = (
            f"SELECT {_ROW}, -(embedding <#> %s::vector) FROM {self._table} WHERE {condition} "
            "ORDER BY embedding <#> %s::vector LIMIT %s"
        )
        found = []
        with self._told(), self._connection.transaction():
            # With a graph: how far it looks, and on until enough rows meet the condition.
            self._run(f"SET LOCAL hnsw.ef_search = {min(max(_GRAPH_EF, 2 * k), 1000)}")
            self._run("SET LOCAL hnsw.iterative_scan = strict_order")
            for query in queries.tolist():
                rows = self._connection.execute(
                    statement, [str(query), *values, str(query), k]
                ).fetchall()
                hits = [Hit(score, i, lang, text, data) for i, text, lang, data, score in rows]
                found.append(sort_hits(hits))
        return found

    def count(self, where: Where | None = None) -> int:
        """See `VectorStore`."""
        condition, values = _to_sql(where)
        with self._told():
            return int(self._value(f"SELECT count(*) FROM {self._table} WHERE {condition}", values))

    def read(self, ids: Sequence[str]) -> list[IndexRow]:
        """See `VectorStore`."""
        statement = f"SELECT {_ROW} FROM {self._table} WHERE id = ANY(%s)"
        with self._told():
            rows = self._connection.execute(statement, [list(ids)]).fetchall()
        found = {row[0]: IndexRow(*row) for row in rows}
        return [found[row_id] for row_id in ids if row_id in found]

    def scan(
        self, batch_rows: int, where: Where | None = None
    ) -> Iterator[tuple[list[IndexRow], NDArray[np.float32]]]:
        """See `VectorStore`; by id, so that rows may come and go meanwhile."""
        condition, values = _to_sql(where)
        statement = (
            f"SELECT {_ROW}, embedding::text FROM {self._table} WHERE id > %s AND {condition} "
            "ORDER BY id LIMIT %s"
        )
        last = ""
        while True:
            with self._told():
                rows = self._connection.execute(statement, [last, *values, batch_rows]).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            vectors = np.array([json.loads(row[4]) for row in rows], np.float32)
            yield [IndexRow(*row[:4]) for row in rows], vectors

    def compact(self, *, graph: bool | None = None) -> None:
        """See `VectorStore`."""
        with self._told():
            if graph:
                self._run(
                    f"CREATE INDEX IF NOT EXISTS {self._table}_graph ON {self._table} "
                    "USING hnsw (embedding vector_ip_ops)"
                )
            elif graph is False:
                self._run(f"DROP INDEX IF EXISTS {self._table}_graph")
            self._run(f"VACUUM (ANALYZE) {self._table}")

    def info(self) -> StoreInfo:
        """See `VectorStore`."""
        with self._told():
            version = self._value("SHOW server_version").partition(" ")[0]
            extension = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
            engine = f"PostgreSQL {version}, pgvector {self._value(extension)}"
            is_graph = self._value("SELECT to_regclass(%s)", [f"{self._table}_graph"]) is not None
            num_bytes = self._value("SELECT pg_total_relation_size(%s::regclass)", [self._table])
        num_rows = self.count()
        return StoreInfo(engine, num_rows, num_rows if is_graph else 0, is_graph, num_bytes)

    def close(self) -> None:
        """See `VectorStore`."""
        self._connection.close()

    def _extend_columns(self, rows: Sequence[IndexRow]) -> None:
        """Writes new columns down; another writer waits, and adds its own to these."""
        if extend_columns(self.header, columns_of(rows)) is self.header:
            return
        statement = f"SELECT header FROM {_HEADERS} WHERE name = %s FOR UPDATE"
        stored = StoreHeader.from_json(self._value(statement, [self._table]), self.name)
        self.header = extend_columns(stored, columns_of(rows))
        self._write_header()

    def _write_header(self) -> None:
        self._run(
            f"INSERT INTO {_HEADERS} VALUES (%s, %s) "
            "ON CONFLICT (name) DO UPDATE SET header = EXCLUDED.header",
            [self._table, json.dumps(self.header.to_json())],
        )

    def _run(self, statement: str, values: Sequence[object] = ()) -> None:
        self._connection.execute(statement, values or None)

    def _value(self, statement: str, values: Sequence[object] = ()) -> Any:  # noqa: ANN401
        row = self._connection.execute(statement, values or None).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tells an error of the server in one line; the address is shown without a password."""
        errors = self._psycopg.errors
        try:
            yield
        except errors.UndefinedTable:
            raise LabseError(f"{self.name}: the table is gone") from None
        except (errors.FeatureNotSupported, errors.UndefinedFile):
            raise ResourceError(f"{self.name}: the extension pgvector is not installed") from None
        except self._psycopg.OperationalError as error:
            raise ResourceError(f"{self.name}: {_one_line(error)}") from None
        except self._psycopg.Error as error:
            raise LabseError(f"{self.name}: the server says: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _split_address(address: str) -> tuple[str, str, str]:
    """Returns what libpq takes, the table, and the address without its password."""
    parts = urlsplit(address)
    options = dict(parse_qsl(parts.query))
    table = options.pop("table", "labse_index")
    if not _TABLE.fullmatch(table) or table == _HEADERS:
        raise UsageError(
            f"table {table!r}: give small letters, digits and _, 48 at most, a letter first"
        )
    options.setdefault("connect_timeout", _CONNECT_SECONDS)
    host = parts.netloc.rpartition("@")[2]
    user = parts.netloc.rpartition("@")[0].partition(":")[0]
    conninfo = urlunsplit(parts._replace(scheme="postgresql", query=urlencode(options)))
    if not parts.netloc:  # urlunsplit leaves out the slashes, which libpq needs.
        conninfo = f"postgresql://{parts.path}?{urlencode(options)}"
    shown = f"postgresql://{user + '@' if user else ''}{host}{parts.path}?table={table}"
    return conninfo, table, shown


def _to_sql(where: Where | None) -> _Sql:
    """Returns an expression that is true or false for every row, and its values."""
    match where:
        case None:
            return "true", []
        case And(parts):
            return _join(" AND ", parts)
        case Or(parts):
            return _join(" OR ", parts)
        case Not(part):
            expression, values = _to_sql(part)
            return f"NOT {expression}", values
        case IsMissing(name):
            return ("false", []) if name in OWN_COLUMNS else ("NOT metadata ? %s", [name])
        case Compare(name, order, bound):
            if name in OWN_COLUMNS:
                return "false", []
            expression = (
                "(CASE WHEN jsonb_typeof(metadata -> %s) = 'number' "
                f"THEN (metadata ->> %s)::float8 {order} %s ELSE false END)"
            )
            return expression, [name, name, bound]
        case Equals(name, values) if name in OWN_COLUMNS:
            return f"{name} = ANY(%s)", [[value for value in values if isinstance(value, str)]]
        case Equals(name, values):
            # Containment has an index; numbers are equal as numbers.
            held: list[object] = [json.dumps({name: value}) for value in values]
            return "(" + " OR ".join(["metadata @> %s::jsonb"] * len(held)) + ")", held


def _join(word: str, parts: Sequence[Where]) -> _Sql:
    joined = [_to_sql(part) for part in parts]
    expression = word.join(expression for expression, _ in joined)
    return f"({expression})", [value for _, values in joined for value in values]
