"""Tone mapping of high dynamic range (HDR) to standard dynamic range.

An HDR film codes luminance of up to 10,000 candela per square metre, in the wide colours of BT.2020. Shown like an
ordinary film, it looks gray and pale. This module computes the luminance, compresses bright light to below white, and
leaves the rest as bright as it was.

References:
    ITU-R BT.2100: PQ and HLG. ITU-R BT.2390, section 5.4.1: the tone curve. ITU-R BT.2408: white of an ordinary film
    is as bright as 203 cd/m² in HDR. ITU-R BT.2087: BT.2020 to BT.709. ITU-R BT.1886: the transfer function of
    screens.
"""

import numpy as np

PQ, HLG = 16, 18
"""Numbers of transfer characteristics in ITU-T H.273."""
TRANSFERS = {PQ: "PQ", HLG: "HLG"}
WIDE, UNSPECIFIED = 9, 2
"""Numbers of colour primaries in ITU-T H.273: BT.2020, and unspecified."""
WHITE, PEAK = 203.0, 1000.0
"""Luminance in cd/m² of white in an ordinary film, and of the brightest light that still differs from white."""
_M1, _M2, _C1, _C2, _C3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)


def to_standard(signal: np.ndarray, transfer: int, primaries: int = WIDE) -> np.ndarray:
    """Convert pixels of an HDR film to standard dynamic range.

    Args:
        signal: (..., 3) uint16, red, green and blue as the film codes them; 65535 stands for 1.
        transfer: transfer characteristic of the film, ``PQ`` or ``HLG``.
        primaries: colour primaries of the film; BT.2020 is converted to BT.709, others are not converted.

    Returns:
        (..., 3) uint8.
    """
    coded = signal.astype(np.float32) / 65535
    light = _light_of_pq(coded) if transfer == PQ else _light_of_hlg(coded)
    brightest = light.max(-1, keepdims=True)
    light *= _compressed(brightest) / np.maximum(brightest, 1e-6)
    if primaries in (WIDE, UNSPECIFIED):
        light = light @ _TO_709.T
    return np.rint(np.clip(light / WHITE, 0, 1) ** (1 / 2.4) * 255).astype(np.uint8)


def _light_of_pq(coded: np.ndarray) -> np.ndarray:
    """Luminance in cd/m² of a PQ signal, which is absolute."""
    root = coded ** (1 / _M2)
    return 10_000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)


def _pq_of_light(light: np.ndarray) -> np.ndarray:
    """PQ signal in [0, 1] of a luminance in cd/m²."""
    power = (light / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def _light_of_hlg(coded: np.ndarray) -> np.ndarray:
    """Luminance in cd/m² of an HLG signal on a screen of 1,000 cd/m²."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)
    return PEAK * np.maximum(scene @ _LUMINANCE, 1e-9)[..., None] ** 0.2 * scene


def _compressed(light: np.ndarray) -> np.ndarray:
    """Compress luminance of up to ``PEAK`` to at most ``WHITE``; below a knee of about 90 cd/m² it stays the same."""
    top = _pq_of_light(np.array(PEAK))
    share, most = np.minimum(_pq_of_light(light) / top, 1), float(_pq_of_light(np.array(WHITE)) / top)
    knee = 1.5 * most - 0.5
    t = np.maximum(share - knee, 0) / (1 - knee)
    above = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return _light_of_pq(np.where(share > knee, above, share) * top)
