"""What the routes share: the service, the limits, and the name of the model.

Takes: a request. Gives: the state of its application.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from starlette.responses import Response

from labse.serving.metrics import Metrics
from labse.serving.options import ServingOptions
from labse.serving.service import EmbeddingService
from labse.serving.stores import Stores

__all__ = ["ServerState", "state_of"]

_SMALL_ANSWER = 8_192  # Numbers; more of them are written in a thread.


@dataclass(frozen=True, slots=True)
class ServerState:
    """One for each application.

    Attributes:
        golden: (D,) the vector of the first sample sentence, computed at the start.
    """

    service: EmbeddingService
    stores: Stores
    options: ServingOptions
    metrics: Metrics
    model_name: str
    golden: NDArray[np.float32]

    async def write_answer(self, write: Callable[[], Response], num_values: int) -> Response:
        """Makes an answer; a large one outside the event loop."""
        if num_values <= _SMALL_ANSWER:
            return write()
        return await self.service.in_thread(write)


def state_of(request: Request) -> ServerState:
    """Returns the state of the application that got the request."""
    state: ServerState = request.app.state.server
    return state
