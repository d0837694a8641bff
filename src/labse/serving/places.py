"""How many requests are worked on at a time: the bound that keeps a server quick when too many ask.

Takes: requests that come, whose bodies have come, that end. Gives: whether there is room.
A request has its place from its head on, before anything is read, so that one too many costs next
to nothing. One whose body is slow to come loses it meanwhile: slow clients do not keep others out.
"""

import asyncio

__all__ = ["Place", "Places"]

_PROMPT_SECONDS = 0.05  # In which a body comes that is sent together with its head.


class Places:
    """The places of one server."""

    def __init__(self, number: int) -> None:
        """Makes them, all free."""
        self._number = number
        self.num_taken = 0

    @property
    def is_full(self) -> bool:
        """Whether there is none left."""
        return self.num_taken >= self._number


class Place:
    """The place of a request, which leaves it when it is answered."""

    __slots__ = ("_is_taken", "_places", "_timer")

    def __init__(self, places: Places) -> None:
        """Takes one of the places until the body has come, or is seen to be slow."""
        self._places, self._is_taken = places, True
        places.num_taken += 1
        loop = asyncio.get_running_loop()
        # Once more around the loop: what waits there may hold the body.
        self._timer = loop.call_later(_PROMPT_SECONDS, loop.call_soon, self.leave)

    def keep(self) -> bool:
        """Keeps the place for a body that has come; says whether there is still one."""
        self._timer.cancel()
        if not self._is_taken and not self._places.is_full:
            self._is_taken = True
            self._places.num_taken += 1
        return self._is_taken

    def leave(self) -> None:
        """Frees the place."""
        self._timer.cancel()
        if self._is_taken:
            self._is_taken = False
            self._places.num_taken -= 1
