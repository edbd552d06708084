"""Vectors of texts from a service: one question for many texts, and what its answer must hold.

Source: OpenAI API reference, "Create embeddings": an answer names for each vector the `index` of its
text, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import EndpointFailed
from ledgerkit.services.endpoint import Endpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Answer:
    """The vectors of some texts, in the order of the texts."""

    vectors: NDArray[np.float64]
    """float64 (n, d), finite, no row zero, as the service sent them."""
    model: str
    """The model as the service reports it, which may be more exact than what was asked for."""
    usage: dict[str, int]
    """What the service counts for the whole question, as `prompt_tokens`."""


def embed(
    endpoint: Endpoint, model: str, texts: Sequence[str], dimensions: int | None = None
) -> Answer:
    """Ask for the vectors of `texts`. `dimensions` asks for shortened ones, where the model can.

    Raises `EndpointFailed` for an answer that has not exactly one good vector for each text, and what
    `Endpoint.ask` raises.
    """
    question: dict[str, Any] = {"model": model, "input": list(texts), "encoding_format": "float"}
    if dimensions is not None:
        question["dimensions"] = dimensions
    answer = endpoint.ask("embeddings", question)
    listed = answer.get("data")
    if not isinstance(listed, list) or len(listed) != len(texts):
        count = len(listed) if isinstance(listed, list) else "no"
        raise EndpointFailed(f"{count} vectors came for {len(texts)} texts")
    by_place: dict[int, Any] = {}
    for one in listed:
        place = one.get("index") if isinstance(one, dict) else None
        if type(place) is not int or not 0 <= place < len(texts) or place in by_place:
            raise EndpointFailed(f"a vector came for the text {place!r} of {len(texts)}")
        by_place[place] = one.get("embedding")
    vectors = _checked([by_place[place] for place in range(len(texts))], dimensions)
    return Answer(vectors, str(answer.get("model") or model), _counts(answer.get("usage")))


def _checked(listed: list[Any], dimensions: int | None) -> NDArray[np.float64]:
    """The vectors as one array. Raises `EndpointFailed` that says which text has a bad one."""
    import numpy as np

    wanted = dimensions or (len(listed[0]) if isinstance(listed[0], list) else 0)
    for place, numbers in enumerate(listed):
        if not isinstance(numbers, list) or not all(type(one) in (int, float) for one in numbers):
            raise EndpointFailed(f"what came for the text {place} is no list of numbers")
        if len(numbers) != wanted or not numbers:
            raise EndpointFailed(
                f"{len(numbers)} numbers came for the text {place}, {wanted} were expected"
            )
    try:
        vectors = np.array(listed, dtype=np.float64)
    except OverflowError as error:
        raise EndpointFailed("a number came that is too large") from error
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths < 1e-12))
    if bad.size:
        raise EndpointFailed(f"the vector of the text {int(bad[0])} is zero or not finite")
    return vectors


def _counts(usage: Any) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    return {str(name): count for name, count in sorted(usage.items()) if type(count) is int}
