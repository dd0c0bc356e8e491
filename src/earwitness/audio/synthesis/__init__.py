"""Fake speech made of genuine speech: what generators leave behind, without the generators.

A method is a function `(audio, settings, rng)` and a function `draw_...(rng)` of its settings, so that
one method stands for many generators. Audio is mono float32 (samples,) at 16 kHz; what comes back is as
long and in time with what went in. `methods` is the table of them, `pairing` the treatment that a fake and
its genuine twin share, so that nothing but the artefacts tells them apart.
"""
