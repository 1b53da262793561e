"""
The measures, as kernels on arrays of float32 samples, planar: (channels, samples), full scale 1.0.

    samples ─┬─ kweighting ── 10 ms energies ─┬─ gating ───────── integrated, momentary, short-term
             │                                ├─ timeline ─────── the same over time
             │                                ├─ loudness_range ─ LRA
             ├─ peak_to_short_term ───────────┴────────────────── PSR
             ├─ true_peak ─── dBTP
             ├─ spectrum ──── six bands
             ├─ levels ────── sample peak, clipping, DC, silence at both ends
             └─ stereo ────── correlation, balance

What takes samples is an object that is fed blocks of any size, and carries its state from one to
the next: the blocks' sizes do not change the result. NaN and Inf must have been taken out.
"""
