"""Verbs of `Repository` that record what a person decided, each with a name and a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit import layout
from ledgerkit.repository import Archive
from ledgerkit.views import CorrectionView, FreezeView, PolicyDifferenceView

if TYPE_CHECKING:
    from ledgerkit.describing import DescribeView
    from ledgerkit.judging import JudgedView, WeightsView
    from ledgerkit.naming import NamesView, Naming, NamingView
    from ledgerkit.review import AnsweredView, ReviewView


class Decisions:
    """Policy, corrections, names and freeze; a part of `Repository`."""

    _archive: Archive

    def accept_policy(
        self,
        by: str,
        reason: str,
        edited: str | Path | None = None,
        proposal: str | None = None,
    ) -> dict[str, Any]:
        """Put a proposed policy (the newest, or of a run), or an edited document, into force."""
        from ledgerkit.policy import accept

        document = Path(edited) if edited is not None else None
        return accept(self._archive, by, reason, document, proposal)

    def policy(self) -> dict[str, Any]:
        """The policy in force. Raises `MissingInput`."""
        from ledgerkit.policy import accepted

        return accepted(self._archive)

    def policy_rules(self) -> list[dict[str, Any]]:
        """Each rule of the newest proposal with the plates it touches. Raises `MissingInput`."""
        from ledgerkit.policy import rules

        return rules(self._archive)

    def policy_difference(
        self, old: str = "accepted", new: str = "proposed"
    ) -> PolicyDifferenceView:
        """Two policies compared, field by field and plate by plate. Raises `MissingInput`."""
        from ledgerkit.policy import difference

        return difference(self._archive, old, new)

    def proposed_policy(self) -> dict[str, Any]:
        """The newest proposal. Raises `MissingInput`."""
        from ledgerkit.policy import proposed

        return proposed(self._archive)[0]

    def amend(
        self,
        corrections: dict[str, dict[str, str | None]] | str | Path,
        *,
        by: str,
        reason: str,
        wait: float = 60.0,
    ) -> CorrectionView:
        """Correct catalogue fields: `{"plate-001": {"title": "..."}}`, or a JSON or CSV file of them.

        Raises `RefusedForFindings` with everything that is wrong.
        """
        from ledgerkit.corrections import amend, read_corrections

        given = (
            corrections if isinstance(corrections, dict) else read_corrections(Path(corrections))
        )
        return amend(self._archive, given, by, reason, wait)

    def prompts(
        self, file: str | Path, *, by: str, reason: str, wait: float = 60.0
    ) -> CorrectionView:
        """Keep what a person pointed at on plates, for `sam` with `prompted`. Raises `InvalidRecord`."""
        from ledgerkit.prompts import take_prompts

        return take_prompts(self._archive, Path(file), by, reason, wait)

    def replace_source(
        self, plate: str, file: str | Path, *, by: str, reason: str, wait: float = 60.0
    ) -> CorrectionView:
        """Let a rescan be the plate's source from now on. Raises `RefusedForFindings`."""
        from ledgerkit.corrections import replace_source

        return replace_source(self._archive, plate, Path(file), by, reason, wait)

    def withdraw(
        self, plates: str | list[str], *, by: str, reason: str, wait: float = 60.0
    ) -> CorrectionView:
        """Take plates out of all later work; `plates` is a selection or a list."""
        from ledgerkit.corrections import withdraw

        return withdraw(self._archive, self._named(plates), by, reason, wait)

    def reinstate(
        self, plates: str | list[str], *, by: str, reason: str, wait: float = 60.0
    ) -> CorrectionView:
        """Take withdrawn plates back into work."""
        from ledgerkit.corrections import reinstate

        return reinstate(self._archive, self._named(plates), by, reason, wait)

    def freeze(
        self,
        *,
        by: str,
        reason: str,
        workers: int = 2,
        wait: float = 60.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> FreezeView:
        """Verify everything and end preprocessing for good. Raises `RefusedForFindings`."""
        from ledgerkit.freeze import freeze

        return freeze(self._archive, by, reason, workers=workers, wait=wait, progress=progress)

    def name(
        self,
        given: dict[str, Naming] | str | Path,
        *,
        by: str,
        reason: str = "",
        wait: float = 60.0,
    ) -> NamingView:
        """Name clusters: by id or `L1_0`, or from a JSON or CSV file. Raises `UsageError`."""
        from ledgerkit.naming import name_clusters, read_namings

        namings = given if isinstance(given, dict) else read_namings(Path(given))
        return name_clusters(self._archive, namings, by, reason, wait)

    def names(self) -> NamesView:
        """The names of clusters in force, and those of persons that no current cluster bears."""
        from ledgerkit.naming import names

        return names(self._archive)

    def describe_by_model(
        self,
        endpoint: str,
        model: str,
        *,
        key: str | None = None,
        pause: float = 1.0,
        wait: float = 60.0,
        progress: Callable[[int, int], None] | None = None,
        **wanted: Any,
    ) -> DescribeView:
        """Let a language model describe clusters; `wanted` as in `describing.Wanted`.

        `key` is by default that in the environment variable LEDGERKIT_CHAT_KEY; it is never kept.
        """
        from ledgerkit.describing import Wanted, describe_by_model
        from ledgerkit.services.chat import Chat

        chat = Chat(endpoint, model, key, pause)
        return describe_by_model(
            self._archive, chat, Wanted(**wanted), wait=wait, progress=progress
        )

    def review(
        self,
        told: Callable[[str], None],
        *,
        by: str = "",
        collection: str = "",
        question: str = "",
        port: int = 0,
    ) -> ReviewView:
        """Serve the pairs of a collection to a browser on this machine until Ctrl-C.

        `told` is given the address. Without `by` the page asks who answers. Raises `MissingInput`
        where no pairs were chosen, `UsageError` for a port that is taken.
        """
        from ledgerkit.pages.desk import PairDesk
        from ledgerkit.review import QUESTION, opened
        from ledgerkit.services.review_server import serve

        found = opened(self._archive)
        serve(PairDesk(self._archive, found, collection, by, question or QUESTION), port, told)
        found.refresh()
        return found.view(collection)

    def take_answers(
        self,
        given: dict[str, dict[str, str]] | str | Path,
        *,
        by: str | None = None,
        question: str = "",
        wait: float = 60.0,
    ) -> AnsweredView:
        """Keep answers: by person and pair, or a JSON or CSV file. Raises `UsageError`."""
        from ledgerkit.review import QUESTION, opened, read_answers

        told = given if isinstance(given, dict) else read_answers(Path(given), by)
        return opened(self._archive, wait).give(told, question=question or QUESTION, wait=wait)

    def review_status(self, collection: str = "") -> ReviewView:
        """Who answered how many pairs of a collection, and how far they agree. `MissingInput`."""
        from ledgerkit.review import looked_at

        return looked_at(self._archive).view(collection)

    def judge(self, collection: str = "", *, by: str | None = None) -> JudgedView:
        """How the trials of a sweep stand to what people say of its pairs. Raises `MissingInput`."""
        from ledgerkit.judging import judge

        return judge(self._archive, collection, by)

    def weigh(
        self,
        target: str | Path,
        *,
        collection: str = "",
        by: str | None = None,
        method: str = "logistic",
        seed: int = 1337,
    ) -> WeightsView:
        """Write weights of the composite that follow from people's answers to a new file.

        Raises `UsageError` with too few answers, `MissingInput`; then nothing is left behind.
        """
        from ledgerkit.judging import weigh

        return weigh(
            self._archive, Path(target), collection=collection, by=by, method=method, seed=seed
        )

    def _named(self, plates: str | list[str]) -> list[str]:
        listed = plates if isinstance(plates, str) else ",".join(plates)
        return layout.select_plates(listed, self._archive.plate_ids())
