"""Rooms against pyroomacoustics' image method, Schroeder's integral and the geometry."""

import numpy as np
import pytest
from scipy import signal, stats

from earwitness.audio.augment import rooms

ROOMS = [rooms.draw_room(np.random.default_rng(seed)) for seed in range(40)]


def decay_s(response):
    """RT60 by Schroeder's backward integral, fitted between -5 and -25 dB."""
    left = np.cumsum(response[::-1] ** 2)[::-1]
    level = 10 * np.log10(left / left[0] + 1e-30)
    start, end = np.argmax(level <= -5), np.argmax(level <= -25)
    return -60 / (np.polyfit(np.arange(start, end) / 16_000, level[start:end], 1)[0])


def test_rooms_decay_as_asked_and_are_in_time():
    off = []
    for seed, room in enumerate(ROOMS):
        response = rooms.respond(room, np.random.default_rng(seed))
        late = response[int(0.05 * 16_000) :]  # past the direct path, whose weight is the distance's
        off.append(decay_s(late) / room.rt60_s - 1)
        assert np.argmax(np.abs(response)) == 0
        assert response[0] == pytest.approx(1, abs=0.15)
    assert np.abs(np.median(off)) < 0.04
    assert np.abs(off).max() < 0.25


def test_whole_responses_of_lively_rooms_decay_as_asked():
    """Schroeder's integral over all of the response, direct path and first reflections included."""
    place = (6.0, 4.5, 3.0), (1.0, 3.5, 1.7), (4.5, 1.0, 1.2)
    for asked in (0.3, 0.5, 0.8):
        response = rooms.respond(rooms.Room(*place, asked), np.random.default_rng(0))
        assert decay_s(response) == pytest.approx(asked, rel=0.15)


def test_the_drawn_rooms_are_rooms():
    for room in ROOMS:
        size, source, microphone = map(np.array, (room.size_m, room.source_m, room.microphone_m))
        assert (source > 0).all()
        assert (source < size).all()
        assert (microphone > 0).all()
        assert (microphone < size).all()
        assert 0.1 < np.linalg.norm(source - microphone) <= 3.0
        assert 0 < room.reflection < 1
    asked = [rooms.draw_room(np.random.default_rng(seed)).rt60_s for seed in range(300)]
    assert stats.kstest(asked, stats.uniform(0.15, 0.65).cdf).pvalue > 1e-3


def test_images_are_those_of_pyroomacoustics():
    pra = pytest.importorskip("pyroomacoustics")
    high_pass = pra.constants.get("rir_hpf_enable")
    pra.constants.set("rir_hpf_enable", False)
    for seed in range(5):
        # a distance of a whole number of samples, so that both place the direct path on one
        size = np.random.default_rng(seed).uniform((4, 4, 2.5), (8, 6, 3.5))
        microphone = size * (0.5, 0.4, 0.45)
        source = np.add(microphone, (60 * rooms.SOUND_M_S / 16_000, 0, 0))
        room = rooms.Room(tuple(size), tuple(source), tuple(microphone), 0.3 + 0.1 * seed)
        box = pra.ShoeBox(size, fs=16_000, materials=pra.Material(1 - room.reflection**2), max_order=25)
        box.add_source(source)
        box.add_microphone(microphone)
        box.compute_rir()
        theirs = np.asarray(box.rir[0][0])[60 + 40 : 60 + 40 + 800]
        ours = rooms.images(room, 800)
        away = np.linalg.norm(source - microphone)
        scale = np.vdot(theirs, ours) / np.vdot(theirs, theirs)
        assert min(abs(scale / away - 1), abs(scale / away / 4 / np.pi - 1)) < 0.01
        np.testing.assert_allclose(ours[:740], theirs[:740] * scale, atol=0.005)
    pra.constants.set("rir_hpf_enable", high_pass)


def test_the_late_part_goes_on_where_the_images_end():
    """Its power between 50 and 80 ms is that of the images that it stands for, above 200 Hz."""
    short, long, above = [], [], signal.butter(4, 200, "highpass", fs=16_000, output="sos")
    for seed, room in enumerate(ROOMS):
        late = slice(800, 1_280)
        if room.rt60_s < 0.3:
            continue
        short.append(
            np.sum(signal.sosfilt(above, rooms.respond(room, np.random.default_rng(seed)))[late] ** 2)
        )
        long.append(np.sum(signal.sosfilt(above, rooms.images(room, 1_400))[late] ** 2))
    difference = 10 * np.log10(np.array(short) / np.array(long))
    assert np.abs(np.median(difference)) < 1.5


def test_an_empty_room_with_no_walls_is_the_direct_path_alone():
    dead = rooms.Room((8.0, 7.0, 4.0), (2.0, 3.0, 1.5), (3.0, 3.0, 1.5), 0.001)
    response = rooms.images(dead, 800)
    assert response[0] == pytest.approx(1)
    assert np.abs(response[1:]).max() < 1e-6


def test_the_first_reflection_is_where_mirrors_put_it():
    """Source and microphone 1.7 m above the floor, 2 m apart: Pythagoras, and both amplitudes."""
    room = rooms.Room((40.0, 40.0, 30.0), (20.0, 20.0, 1.7), (22.0, 20.0, 1.7), 2.0)
    response = rooms.images(room, 400)
    path = np.hypot(2.0, 3.4)
    place = (path - 2.0) / rooms.SOUND_M_S * 16_000
    upsampled = signal.resample(response, 64 * 400)
    found = 64 * 60 + np.argmax(upsampled[64 * 60 : 64 * 120])
    assert found / 64 == pytest.approx(place, abs=0.05)
    assert upsampled[found] == pytest.approx(room.reflection * 2.0 / path, rel=0.02)


def test_speech_stays_in_time_and_is_changed(speech):
    clip = speech[16_000:40_000]
    for seed in range(20):
        wet = rooms.add_room(clip, np.random.default_rng(seed))
        assert wet.shape == clip.shape
        assert wet.dtype == np.float32
        assert not np.array_equal(wet, clip)
        # correlation of the phases alone, which reflections do not bend: the direct path stands out
        cross = np.fft.rfft(wet, 65_536) * np.conj(np.fft.rfft(clip, 65_536))
        assert np.argmax(np.fft.irfft(cross / np.abs(cross))) == 0
        np.testing.assert_array_equal(wet, rooms.add_room(clip, np.random.default_rng(seed)))


def test_a_room_leaves_the_level(speech):
    wet = rooms.add_room(speech, np.random.default_rng(0))
    assert np.std(wet) == pytest.approx(np.sqrt(np.mean(speech**2)), rel=1e-3)


@pytest.mark.parametrize("samples", [1, 2, 500])
def test_silence_and_impulses_stay_finite(samples):
    assert not rooms.add_room(np.zeros(samples, np.float32), np.random.default_rng(0)).any()
    impulse = np.zeros(samples, np.float32)
    impulse[-1] = 1
    assert np.isfinite(rooms.add_room(impulse, np.random.default_rng(0))).all()
