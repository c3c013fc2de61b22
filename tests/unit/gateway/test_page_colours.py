"""The colours of the status page, computed from its style sheet."""

from __future__ import annotations

import importlib.resources
import re

import pytest

CSS = (importlib.resources.files("krakenonce.gateway") / "page" / "status.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.S)
)
TEXTS = re.findall(r"(?<![-\w])color: var\(--([a-z-]+)\)", CSS)
GROUNDS = re.findall(r"background: var\(--([a-z-]+)\)", CSS)
DRAWN = re.findall(r"fill: var\(--([a-z-]+)\)", CSS)
# What is written on a ground of its own only.
OWN = {"bad-back": ("bad", "text"), "warn-back": ("warn", "text")}


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.1 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio as WCAG 2.1 defines it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_graphs_stand_out_from_what_is_behind_them(colours: dict[str, str]) -> None:
    """By 4.5 to 1 for text and by 3 to 1 for bars, as WCAG asks on level AA; every colour is in one place."""
    assert {"text", "faint", "bad", "warn", "good"} <= set(TEXTS)
    assert {"back", "card", *OWN} == set(GROUNDS)
    pairs = [(text, ground) for ground in set(GROUNDS) for text in OWN.get(ground, set(TEXTS))]
    low = [(text, ground) for text, ground in pairs if contrast(colours[text], colours[ground]) < 4.5]
    low += [(bar, ground) for bar in DRAWN for ground in set(GROUNDS) if contrast(colours[bar], colours[ground]) < 3]
    assert not low
    assert not re.findall(r"#[0-9a-f]{3,8}\b|rgb|hsl", CSS.partition("* {")[2].replace("#state", "")), (
        "a colour elsewhere"
    )


def test_contrast_is_computed_as_wcag_does() -> None:
    """Black on white has 21 to 1; #767676 on white is the palest grey that passes."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") > 4.5 > contrast("#777777", "#ffffff")
