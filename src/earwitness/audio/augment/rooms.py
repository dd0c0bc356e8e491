"""Rooms: image sources for the first reflections, decaying noise for the rest.

The image method (J. B. Allen and D. A. Berkley, "Image method for efficiently simulating
small-room acoustics", J. Acoust. Soc. Am. 65 (4), 1979) mirrors the source in the six walls of a box.
Its images grow with the cube of time while single ones stop being heard, so from 50 ms on the
response is Gaussian noise with the power that images at random places would have (J.-D. Polack, 1988;
mixed as by E. A. Lehmann and A. M. Johansson, IEEE Trans. ASLP 18 (6), 2010). That takes
milliseconds, so every clip gets a room of its own, and the decay is the one asked for, which a bare
box with flat walls misses by half. The direct path is at time zero: nothing is shifted.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.augment.clips import TINY, convolve, power
from earwitness.audio.io import SAMPLE_RATE

SOUND_M_S = 343.0
MIXING_S = 0.05  # from here on single reflections are not told apart
HALF_WIDTH = 40  # samples that the fractional delay of an image reaches to either side
DECAY = 6 * np.log(10)  # a fall by 60 dB as an exponent of power
LOW_HZ = 100.0  # images all push the same way, which piles up below; Allen and Berkley filter it off too

POLE = np.exp(-2 * np.pi * LOW_HZ / SAMPLE_RATE)
LOW_PASS = (1 - POLE) * POLE ** np.arange(int(MIXING_S * SAMPLE_RATE))  # what is subtracted


@dataclass(frozen=True)
class Room:
    """A box with equal walls; places are x, y, z from one corner."""

    size_m: tuple[float, ...]
    source_m: tuple[float, ...]
    microphone_m: tuple[float, ...]
    rt60_s: float  # time in which the sound of a stopped source falls by 60 dB

    @property
    def volume_m3(self) -> float:
        return float(np.prod(self.size_m))

    @property
    def reflection(self) -> float:
        """Pressure that a wall gives back, 0 to 1, after Eyring's formula for `rt60_s`."""
        x, y, z = self.size_m
        walls_m2 = 2 * (x * y + y * z + z * x)
        kept = np.exp(-4 * DECAY * self.volume_m3 / (SOUND_M_S * walls_m2 * self.rt60_s))
        return float(np.sqrt(kept))


def draw_room(rng: np.random.Generator, rt60_s: tuple[float, float] = (0.15, 0.8)) -> Room:
    """A living room to a seminar room, the speaker 0.3 to 3 m from the microphone."""
    size = rng.uniform((3.0, 3.0, 2.4), (10.0, 8.0, 4.0))
    microphone = rng.uniform(0.5, size - 0.5)
    direction = rng.standard_normal(3)
    away = direction / np.linalg.norm(direction) * 0.3 * 10 ** rng.uniform(0, 1)
    source = np.clip(microphone + away, 0.2, size - 0.2)
    x, y, z = (tuple(float(v) for v in place) for place in (size, source, microphone))
    return Room(x, y, z, float(rng.uniform(*rt60_s)))


def add_room(audio: np.ndarray, rng: np.random.Generator, room: Room | None = None) -> np.ndarray:
    """As heard in a room, drawn where none is given; in time, and as loud as before."""
    wet = convolve(audio, respond(room or draw_room(rng), rng))
    return (wet * np.sqrt(power(audio) / max(power(wet), TINY))).astype(np.float32)


def respond(room: Room, rng: np.random.Generator) -> np.ndarray:
    """Impulse response (samples,) at 16 kHz from the direct path on, which is about 1 at sample 0."""
    late = int(MIXING_S * SAMPLE_RATE)
    response = np.zeros(max(late, int(room.rt60_s * SAMPLE_RATE)))
    early = images(room, late)
    response[:late] = early - convolve(early, LOW_PASS)
    away = np.linalg.norm(np.subtract(room.source_m, room.microphone_m))
    time_s = away / SOUND_M_S + np.arange(late, len(response)) / SAMPLE_RATE
    # images per second 4 pi c^3 t^2 / V, each with the power (away / (c t))^2 of the direct path
    density = 4 * np.pi * SOUND_M_S * away**2 / room.volume_m3 / SAMPLE_RATE
    envelope = np.sqrt(density * np.exp(-DECAY * time_s / room.rt60_s))
    response[late:] = rng.standard_normal(len(time_s)) * envelope
    return response


def images(room: Room, samples: int) -> np.ndarray:
    """The reflections of the first `samples` after the direct path, (samples,); that is 1 at 0."""
    source, microphone, size = (np.array(v) for v in (room.source_m, room.microphone_m, room.size_m))
    away = float(np.linalg.norm(source - microphone))
    farthest = away + samples / SAMPLE_RATE * SOUND_M_S
    # per axis: where the images lie, seen from the microphone, and after how many reflections
    places, bounces = [], []
    for axis in range(3):
        turns = int(np.ceil(farthest / size[axis] / 2)) + 1
        n, mirrored = np.meshgrid(np.arange(-turns, turns + 1), (0, 1))
        places.append(((1 - 2 * mirrored) * source[axis] + 2 * n * size[axis] - microphone[axis]).ravel())
        bounces.append(np.abs(2 * n - mirrored).ravel())
    square = places[0][:, None, None] ** 2 + places[1][:, None] ** 2 + places[2] ** 2
    count = bounces[0][:, None, None] + bounces[1][:, None] + bounces[2]
    near = square < farthest**2
    distance = np.sqrt(square[near])
    pressure = room.reflection ** count[near] * away / distance
    return place_pulses((distance - away) / SOUND_M_S * SAMPLE_RATE, pressure, samples)


def place_pulses(delays: np.ndarray, heights: np.ndarray, samples: int) -> np.ndarray:
    """Pulses (pulses,) at fractional `delays` in samples, as Hann-windowed sincs, (samples,)."""
    first = np.rint(delays).astype(int)
    taps = np.arange(-HALF_WIDTH, HALF_WIDTH + 1)
    place = taps - (delays - first)[:, None]
    shape = np.sinc(place) * (0.5 + 0.5 * np.cos(np.pi * place / (HALF_WIDTH + 1)))
    index = first[:, None] + taps
    inside = (index >= 0) & (index < samples)
    return np.bincount(index[inside], (shape * heights[:, None])[inside], samples)
