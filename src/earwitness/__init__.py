"""earwitness: is the voice on this recording human?

    import earwitness
    verdict = earwitness.scan("call.m4a")
    print(verdict.verdict, verdict.p_fake, verdict.rule)

Names are imported when first used, so that importing the package does nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earwitness.decision.detector import load_detector
    from earwitness.errors import EarwitnessError, InputError, ModelError
    from earwitness.evidence.verdict import to_record
    from earwitness.operations.hearing import ScanOptions
    from earwitness.operations.scan import scan, scan_many
    from earwitness.types import Verdict

__version__ = "0.1.0"
__all__ = [
    "EarwitnessError",
    "InputError",
    "ModelError",
    "ScanOptions",
    "Verdict",
    "load_detector",
    "scan",
    "scan_many",
    "to_record",
]

_HOMES = {
    "EarwitnessError": "earwitness.errors",
    "InputError": "earwitness.errors",
    "ModelError": "earwitness.errors",
    "ScanOptions": "earwitness.operations.hearing",
    "Verdict": "earwitness.types",
    "load_detector": "earwitness.decision.detector",
    "scan": "earwitness.operations.scan",
    "scan_many": "earwitness.operations.scan",
    "to_record": "earwitness.evidence.verdict",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'earwitness' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
