"""Drawing a chest from its latent findings: schematic, and readable by a small network.

Image coordinates run from 0 to 1, right and down; the patient's right is on the left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from libra_bench.data.synthetic.course import Findings

HEIGHT, WIDTH = 288, 256
TISSUE, LUNG, BONE, HEART, FLUID = 0.62, 0.24, 0.72, 0.78, 0.86


@dataclass(frozen=True)
class Build:
    """What stays of a patient from visit to visit."""

    lung_width: float
    lung_height: float
    centre: float
    contrast: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Build:
        """A patient."""
        return cls(
            lung_width=rng.uniform(0.145, 0.17),
            lung_height=rng.uniform(0.29, 0.33),
            centre=rng.uniform(0.49, 0.51),
            contrast=rng.uniform(0.92, 1.05),
        )


def frontal(findings: Findings, build: Build, rng: np.random.Generator) -> Image.Image:
    """A frontal radiograph of a visit; position and noise differ from visit to visit."""
    y, x = _grid()
    x = x - rng.uniform(-0.012, 0.012)
    y = y - rng.uniform(-0.012, 0.012)
    picture = _body(x, y, build)
    for side, sign in (("right", -1), ("left", 1)):
        _lung(picture, x, y, build, findings, side, sign)
    _heart(picture, x, y, build, findings)
    _devices(picture, x, y, build, findings)
    return _exposed(picture, build, rng)


def lateral(findings: Findings, build: Build, rng: np.random.Generator) -> Image.Image:
    """A lateral radiograph: one overlaid lung field, spine behind, heart in front."""
    y, x = _grid()
    picture = np.where(_ellipse(x, y, 0.5, 0.52, 0.36, 0.46) < 1, TISSUE, 0.05)
    field = _ellipse(x, y, 0.5, 0.48, 0.25, build.lung_height * 1.1) < 1
    picture = np.where(field, LUNG, picture)
    spine = np.abs(x - 0.76 - 0.05 * np.sin(3 * y)) < 0.035
    picture = np.where(spine & (y > 0.1), BONE, picture)
    size = 0.12 + 0.02 * findings.cardiomegaly
    picture = np.where(_ellipse(x, y, 0.4, 0.62, size, 0.14) < 1, HEART, picture)
    level = max(findings.effusion_left, findings.effusion_right)
    picture = np.where(field & (y > 0.8 - 0.07 * level) & (x > 0.5), FLUID, picture)
    return _exposed(picture, build, rng)


def _body(x: np.ndarray, y: np.ndarray, build: Build) -> np.ndarray:
    trunk = _ellipse(x, y, build.centre, 0.62, 0.44, 0.6) < 1
    shoulders = _ellipse(x, y, build.centre, 0.3, 0.49, 0.2) < 1
    neck = (np.abs(x - build.centre) < 0.09) & (y < 0.25)
    picture = np.where(trunk | shoulders | neck, TISSUE, 0.04)
    spine = np.abs(x - build.centre) < 0.035
    return np.where(spine, picture + 0.08, picture)


def _lung(
    picture: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    build: Build,
    findings: Findings,
    side: str,
    sign: int,
) -> None:
    """One lung with its ribs and what is wrong in it, drawn in place."""
    middle, height = build.centre + sign * 0.205, 0.47
    reach = _ellipse(x, y, middle, height, build.lung_width, build.lung_height)
    floor = 0.74 + 0.05 * np.cos((x - middle) * 9)
    field = (reach < 1) & (y < floor)
    picture[field] = LUNG + 0.06 * (y[field] - 0.4)
    # Vessels fan out from the hilum.
    hilum = (x - build.centre - sign * 0.08) ** 2 + (y - 0.46) ** 2
    picture[field] += 0.16 * np.exp(-hilum[field] / 0.006)
    for rib in range(7):
        arc = y - (0.2 + 0.075 * rib) - 0.35 * (np.abs(x - build.centre) - 0.2) ** 2
        picture[field & (np.abs(arc) < 0.008)] += 0.09
    if grade := getattr(findings, f"opacity_{side}"):
        blot = _ellipse(x, y, middle + sign * 0.01, 0.56, 0.05 + 0.03 * grade, 0.05 + 0.03 * grade)
        strength = (0.16 + 0.1 * grade) * np.exp(-(blot**1.5))
        picture[field] += strength[field]
    if grade := getattr(findings, f"effusion_{side}"):
        # The meniscus climbs towards the chest wall.
        level = floor - 0.01 - 0.085 * grade - 0.35 * np.abs(sign * (x - middle)).clip(0) ** 1.5
        picture[field & (y > level)] = FLUID
    if grade := getattr(findings, f"pneumothorax_{side}"):
        shift = 0.02 + 0.035 * grade
        inner = _ellipse(
            x, y, middle - sign * shift / 2, height + shift, build.lung_width - shift / 2,
            build.lung_height - shift,
        )  # fmt: skip
        picture[field & (inner >= 1)] = 0.1
        picture[field & (np.abs(inner - 1.03) < 0.035)] = BONE
    if findings.nodule == (1 if sign > 0 else 2):
        spot = _ellipse(x, y, middle + sign * 0.03, 0.32, 0.024, 0.022) < 1
        picture[spot] = 0.7


def _heart(
    picture: np.ndarray, x: np.ndarray, y: np.ndarray, build: Build, findings: Findings
) -> None:
    width = 0.1 + 0.032 * findings.cardiomegaly
    shape = _ellipse(x, y, build.centre + 0.035, 0.61, width, 0.125 + 0.008 * findings.cardiomegaly)
    aorta = _ellipse(x, y, build.centre + 0.03, 0.36, 0.045, 0.05)
    middle = (np.abs(x - build.centre) < 0.05) & (y > 0.2) & (y < 0.7)
    picture[(shape < 1) | (aorta < 1) | middle] = HEART


def _devices(
    picture: np.ndarray, x: np.ndarray, y: np.ndarray, build: Build, findings: Findings
) -> None:
    if findings.tube:
        picture[(np.abs(x - build.centre) < 0.011) & (y < 0.37)] = 1.0
    if findings.pacemaker:
        picture[_ellipse(x, y, build.centre + 0.3, 0.2, 0.045, 0.035) < 1] = 1.0
        lead = np.abs(x - (build.centre + 0.3 - 0.55 * (y - 0.2))) < 0.007
        picture[lead & (y > 0.2) & (y < 0.6)] = 1.0


def _exposed(picture: np.ndarray, build: Build, rng: np.random.Generator) -> Image.Image:
    """Blur, exposure and grain, as 8-bit grey."""
    for axis in (0, 1):
        picture = (np.roll(picture, 1, axis) + 2 * picture + np.roll(picture, -1, axis)) / 4
    exposed = 0.5 + (picture - 0.5) * build.contrast + rng.uniform(-0.03, 0.03)
    grain = rng.normal(0, 0.018, picture.shape)
    return Image.fromarray((np.clip(exposed + grain, 0, 1) * 255).astype(np.uint8), mode="L")


def _grid() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return y / HEIGHT, x / WIDTH


def _ellipse(
    x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float
) -> np.ndarray:
    """Below 1 inside, 1 on the edge."""
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
