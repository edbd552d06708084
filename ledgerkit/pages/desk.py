"""What the page of pairs shows and keeps: a `Desk` of `services.review_server` over a repository.

It tells of a pair its two pictures, their titles and ids, and nothing of why it was chosen, of trials,
or of what others answered. Pictures are made from the recorded files when they are asked for, their
digests compared, and the last ones are held in memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from importlib.resources import files
from typing import Any

from ledgerkit import schema
from ledgerkit.errors import LedgerkitError, MissingInput, UnreadableImage
from ledgerkit.history import History
from ledgerkit.imaging.contact import to_jpeg
from ledgerkit.imaging.geometry import Box
from ledgerkit.pages.pictures import Shot, opened
from ledgerkit.repository import Archive
from ledgerkit.review import Pair, Review, person_name

LONG_SIDE = 2400
"""Pixels of the long side of a picture, at most: a screen's width and a half to zoom into."""
HELD = 48
"""Pictures held in memory, each of some hundred kilobytes."""
ASSETS = {
    "": ("review/index.html", "text/html; charset=utf-8"),
    "assets/style.css": ("assets/style.css", "text/css; charset=utf-8"),
    "assets/review.css": ("review/review.css", "text/css; charset=utf-8"),
    "assets/openseadragon.min.js": (
        "assets/openseadragon.min.js",
        "text/javascript; charset=utf-8",
    ),
    "assets/viewer.js": ("assets/viewer.js", "text/javascript; charset=utf-8"),
    "assets/review.js": ("review/review.js", "text/javascript; charset=utf-8"),
}
"""Addresses below the token, each with a file beside this module and its media type."""
KINDS = {"segments": "segment_id", "tiles": "tile_id"}


class PairDesk:
    """The pairs of one collection and the answers to them. Threads take turns."""

    def __init__(
        self, archive: Archive, review: Review, collection: str, by: str, question: str
    ) -> None:
        """`by` answers where the page names nobody, '' lets it ask. Raises `MissingInput`."""
        self._archive, self._review = archive, review
        self._by = person_name(by) if by else ""
        self._question = question
        self._pairs = {pair.pair_id: pair for pair in review.pairs(collection)[1]}
        self._history = History(archive)
        self._titles: dict[str, str] = {}
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._turn = threading.Lock()

    def asset(self, name: str) -> tuple[str, bytes] | None:
        """A file of the page."""
        if name not in ASSETS:
            return None
        path, media_type = ASSETS[name]
        return media_type, files("ledgerkit.pages").joinpath(path).read_bytes()

    def state(self, by: str) -> dict[str, Any]:
        """The pairs in order and a person's own answers, oldest first; nothing where nobody asks."""
        name = person_name(by) if by.strip() else self._by
        with self._turn:
            if not name:
                return self._told("") | {"pairs": []}
            self._review.refresh()
            pairs = [self._shown(pair) for pair in self._pairs.values()]
            return self._told(name) | {"pairs": pairs}

    def answer(self, by: str, pair: str, answer: str) -> dict[str, Any]:
        """Keep an answer; what comes back is on record. Raises `UsageError`, `RepositoryBusy`."""
        name = person_name(by)
        with self._turn:
            self._review.give({name: {pair: answer}}, question=self._question)
            return self._told(name)

    def picture(self, pair: str, side: str) -> bytes:
        """The JPEG of one side. Raises `LedgerkitError` that says why there is none."""
        if pair not in self._pairs or side not in ("left", "right"):
            raise MissingInput("there is no such picture")
        found = self._pairs[pair]
        subject = found.subject_a if side == "left" else found.subject_b
        plate = found.plate_a if side == "left" else found.plate_b
        with self._turn:  # one at a time: a large scan takes memory while it is read
            if subject in self._pictures:
                self._pictures.move_to_end(subject)
                return self._pictures[subject]
            try:
                data = self._made(subject, plate)
            except OSError as error:
                raise UnreadableImage(f"{plate} cannot be read: {error.strerror}") from error
            self._pictures[subject] = data
            while len(self._pictures) > HELD:
                self._pictures.popitem(last=False)
            return data

    def _told(self, name: str) -> dict[str, Any]:
        collection = next(iter(self._pairs.values())).collection
        own = self._review.answers(name) if name else {}
        answers = [[pair, one.answer] for pair, one in own.items() if pair in self._pairs]
        return {
            "by": name,
            "collection": collection,
            "question": self._question,
            "answers": answers,
        }

    def _shown(self, pair: Pair) -> dict[str, Any]:
        sides = {"left": (pair.subject_a, pair.plate_a), "right": (pair.subject_b, pair.plate_b)}
        return {"pair": pair.pair_id} | {
            side: {"subject": subject, "title": self._title(plate)}
            for side, (subject, plate) in sides.items()
        }

    def _title(self, plate: str) -> str:
        if plate not in self._titles:
            own = self._archive.manifest(plate).title
            self._titles[plate] = str(self._history.overlay(plate).fields.get("title", own))
            self._history.forget(plate)
        return self._titles[plate]

    def _made(self, subject: str, plate: str) -> bytes:
        from ledgerkit.imaging.decode import read_crop, read_shrunk

        source = self._history.source(plate)
        shot = Shot(source.path, source.sha256, None)
        if subject != plate:
            box = self._box(subject, plate)
            with opened(self._archive.tree, shot) as file:
                try:
                    return to_jpeg(read_crop(file, box, long_side=LONG_SIDE))
                except ValueError as error:
                    raise UnreadableImage(f"{subject} does not lie on {plate}: {error}") from error
        normalised = self._normalised(plate)
        if normalised is not None:
            try:
                with opened(self._archive.tree, normalised) as file:
                    return to_jpeg(read_shrunk(file, LONG_SIDE))
            except LedgerkitError:
                pass  # evicted from the cache, or damaged: the source shows the plate as well
        with opened(self._archive.tree, shot) as file:
            return to_jpeg(read_shrunk(file, LONG_SIDE))

    def _normalised(self, plate: str) -> Shot | None:
        """The plate's present normalised image, where it has one of its own."""
        try:
            found = self._history.resolve("whole", plate, None).inputs
        except LedgerkitError:
            return None
        image = next((one for one in found if one.role == "image"), None)
        return None if image is None else Shot(image.path, image.sha256, None)

    def _box(self, subject: str, plate: str) -> Box:
        """The box of a tile or segment in oriented source pixels, from the newest run that has it."""
        for run in reversed(self._history.runs(plate)):
            for output in self._archive.outputs(run) if run.status != "failed" else ():
                table = output.role.removeprefix("table:")
                if table not in KINDS:
                    continue
                data = self._archive.tree.read_checked(output.path, output.sha256)
                for row in schema.decode_rows(table, data, output.path):
                    if getattr(row, KINDS[table]) == subject:
                        return Box(row.x0, row.y0, row.x1, row.y1)
        raise MissingInput(f"no run of {plate} made {subject}")
