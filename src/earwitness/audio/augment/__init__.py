"""What recordings go through between a mouth (or a generator) and a detector.

Every step takes mono float32 (samples,) at 16 kHz and a `numpy.random.Generator`, and returns the
same length and type (speed alone changes the length); the label never changes. Finite audio stays
finite, silence too. A step that cannot run raises: an augmentation that silently does nothing is
worse than none. `chain` strings steps together and counts what they did.
"""
