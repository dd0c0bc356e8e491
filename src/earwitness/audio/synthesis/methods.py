"""The table of methods that need no file: name, settings, function, and what protocols call them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from earwitness.audio.synthesis.enhancing import draw_enhancing, enhancing
from earwitness.audio.synthesis.griffin_lim import draw_griffin_lim, griffin_lim
from earwitness.audio.synthesis.lpc import draw_lpc, lpc
from earwitness.audio.synthesis.phases import draw_phases, replace_phases
from earwitness.audio.synthesis.quantising import draw_quantising, quantising
from earwitness.audio.synthesis.sinusoids import draw_sinusoids, sinusoids
from earwitness.audio.synthesis.smoothing import draw_smoothing, smoothing
from earwitness.audio.synthesis.stretching import (
    draw_pitch_shift,
    draw_stretch,
    shift_pitch,
    stretch_and_back,
)
from earwitness.audio.synthesis.upsampling import draw_upsampling, upsampling
from earwitness.audio.synthesis.world import draw_world, draw_world_shift, world


@dataclass(frozen=True)
class Method:
    """How fakes are made: settings are drawn, and given to `make` with the audio."""

    draw: Callable[[np.random.Generator], Any]
    make: Callable[[np.ndarray, Any, np.random.Generator], np.ndarray]
    architecture: str
    family: str  # vocoder, vc or codec


METHODS: dict[str, Method] = {
    "world": Method(draw_world, world, "world", "vocoder"),
    "world-shift": Method(draw_world_shift, world, "world", "vc"),
    "griffin-lim": Method(draw_griffin_lim, griffin_lim, "griffin-lim", "vocoder"),
    "phase": Method(draw_phases, replace_phases, "phase", "vocoder"),
    "lpc": Method(draw_lpc, lpc, "lpc", "vocoder"),
    "sinusoidal": Method(draw_sinusoids, sinusoids, "sinusoidal", "vocoder"),
    "upsample": Method(draw_upsampling, upsampling, "upsample", "vocoder"),
    "smooth": Method(draw_smoothing, smoothing, "smooth", "vocoder"),
    "quantise": Method(draw_quantising, quantising, "quantise", "codec"),
    "enhance": Method(draw_enhancing, enhancing, "enhance", "vocoder"),
    "stretch": Method(draw_stretch, stretch_and_back, "stretch", "vc"),
    "pitch-shift": Method(draw_pitch_shift, shift_pitch, "stretch", "vc"),
}
