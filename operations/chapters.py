"""Chapters: headings of a run that no node passes before all have arrived."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from pyinfra import host, state
from pyinfra.api.operation import operation

from fleet.plan import Work
from fleet.waves import Wave
from operations import rollout
from operations.survey import Survey


@dataclass(frozen=True)
class Chapters:
    """The chapters of one run, numbered as they come, as one node walks them.

    Attributes:
        survey: what the run found and will do.
        titles: those begun so far.
    """

    survey: Survey
    titles: list[str]

    def begin(self, title: str, wave: Wave | None = None) -> None:
        """Begin a numbered chapter; every node must call it. It costs no command."""
        self.titles.append(title)
        chapter(f"{len(self.titles)}. {title}", self.survey, wave)

    def only(self, sentence: str) -> None:
        """Say what there is to say, where there is nothing to do."""
        chapter(sentence, self.survey)

    def waves(self, work: Work) -> Iterator[None]:
        """Begin a chapter for each wave, and yield in those in which this node's turn has come.

        `host.loop` gives what is called inside the same place in the order on every node.
        """
        for title, wave in host.loop(self._waves()):
            self.begin(title, wave)
            if work.node.name in wave.nodes:
                yield

    def _waves(self) -> Iterator[tuple[str, Wave]]:
        count = len(self.survey.gpu_waves)
        for number, wave in enumerate(self.survey.gpu_waves, 1):
            yield f"Wave {number} of {count}: {wave}", wave
        for wave in self.survey.edge_waves:
            yield f"Gateways and monitors: {wave}", wave


def of(survey: Survey) -> Chapters:
    """The chapters of this run."""
    return Chapters(survey, [])


@operation()
def _heading() -> Generator[str, None, None]:
    """Do nothing, on every node: what comes behind it waits for what came before it, everywhere."""
    yield from ()


def chapter(title: str, survey: Survey, wave: Wave | None = None) -> None:
    """Begin a chapter; every node must call it. It costs no command."""
    rollout.of(state, survey).chapters[title] = wave
    _heading(name=title)
