"""A law: whatever is sent, the answer is no fault of the server, and it is JSON."""

import json
from collections.abc import Callable
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.serving.conftest import Call

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=True)
    | st.text(max_size=20)
    | st.sampled_from(["labse", "base64", "GOOD", "absolute", "de", "../x", "\x00", "a" * 3000]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
TEXTS = st.lists(st.text(max_size=9), max_size=4)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_body_makes_the_server_fail(connect: Callable[..., Call], data: st.DataObject) -> None:
    call = connect_once(connect)
    fields = fields_of_routes(call)
    path = data.draw(st.sampled_from(sorted(fields)))
    known = st.fixed_dictionaries({}, optional={name: TEXTS | VALUES for name in fields[path]})
    content = json.dumps(data.draw(known | VALUES)).encode()
    answer = call(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text
    if answer.headers["content-type"] == "application/json":
        answer.json()


@cache
def connect_once(connect: Callable[..., Call]) -> Call:
    return connect()


@cache
def fields_of_routes(call: Call) -> dict[str, list[str]]:
    """Returns the fields of the body of each route, as the OpenAPI page has them."""
    paths = call("/openapi.json").json()["paths"]
    bodies = {path: one["post"]["requestBody"] for path, one in paths.items() if "post" in one}
    schemas = {path: body["content"]["application/json"] for path, body in bodies.items()}
    return {path: list(one["schema"]["properties"]) for path, one in schemas.items()}
