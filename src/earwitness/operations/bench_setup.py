"""What a bench is asked to measure, and where it may write."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Step = Callable[[str], None]  # told what is being done


@dataclass(frozen=True)
class Setup:
    """What every section of a bench is told."""

    folder: Path  # of the model's bundle
    name: str  # of the model
    work: Path  # for files that go with the bench
    quick: bool = False
    audio: Path | None = None  # a folder of recordings; None: a made voice
    front_ends: tuple[str, ...] = ()

    def plain(self, error: BaseException) -> str:
        """A complaint without the folders of this machine."""
        text = str(error) or type(error).__name__
        for folder in (self.work, self.folder, Path.home()):
            text = text.replace(f"{folder}/", "").replace(str(folder), "")
        return text[:300]
