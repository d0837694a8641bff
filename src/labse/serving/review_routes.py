"""Rating in the page: `/review` gives the order, `/calibrate` the bound that ratings suggest.

Takes: scores, and what people said of the pairs. Gives: what `labse rate` and `labse calibrate` do
with the same scores. Nothing is kept here: the page keeps the ratings, and writes the file.
"""

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from labse.errors import LabseError
from labse.rating.calibration import fit_precision, num_ratings_needed, wilson_interval
from labse.rating.ratings import Ratings
from labse.rating.sample import sample_order
from labse.serving.answers import ApiError, json_response
from labse.serving.bodies import CalibrateBody, ReviewBody, openapi_body, receive_body
from labse.serving.state import state_of

__all__ = ["router"]

router = APIRouter()


@router.post("/review", openapi_extra=openapi_body(ReviewBody))
async def review(request: Request) -> Response:
    """Returns the rows in an order whose every beginning is spread over all scores."""
    body = await receive_body(request, ReviewBody)
    scores = np.array(body.scores, np.float64)
    order = await state_of(request).service.in_thread(sample_order, scores, seed=body.seed)
    return json_response({"order": order})


@router.post("/calibrate", openapi_extra=openapi_body(CalibrateBody))
async def calibrate(request: Request) -> Response:
    """Returns the precision of the ratings, and the least score that gives the wanted one."""
    body = await receive_body(request, CalibrateBody)
    if len(body.scores) != len(body.labels):
        raise ApiError(
            422, f"{len(body.scores)} scores and {len(body.labels)} labels; one for each"
        )
    rated = [
        (s, label) for s, label in zip(body.scores, body.labels, strict=True) if label != "SKIP"
    ]
    scores = np.array([score for score, _ in rated], np.float64)
    is_good = np.array([label == "GOOD" for _, label in rated], bool)
    num_good = int(is_good.sum())
    content: dict[str, object] = {
        "num_rated": len(rated),
        "num_good": num_good,
        "precision": num_good / len(rated) if rated else None,
        "interval": wilson_interval(num_good, len(rated)).to_list(),
        "num_needed": num_ratings_needed(body.precision),
    }
    try:
        ratings = Ratings(scores, is_good, len(body.labels) - len(rated))
        fit = await state_of(request).service.in_job(fit_precision, ratings, body.precision)
        content["fit"] = fit.to_dict()
    except LabseError as error:  # Too few, or too bad: said in a sentence.
        content["fit"], content["reason"] = None, str(error)
    return json_response(content)
