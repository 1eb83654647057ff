"""Charts as static SVG: drawn by Vega-Lite, coloured by the page's own variables, so that they follow light and dark.

Vega-Lite comes with vl-convert, an extra of this package, and runs here, not in the reader's browser: a page holds what
it drew (4 to 30 kB each) and no script. Measured beside it: plotly.js is 4.5 MB in each page and needs a script;
matplotlib's SVG draws letters as shapes, which no screen reader reads, with fixed colours; pygal's has a style sheet
and a script inside.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from qwen_sft.surveying.spread import Bin, Spread
from qwen_sft.text.element import Html, el, plain

_SVG = "http://www.w3.org/2000/svg"
_LABEL = 36  # characters of a bar's name
_ATTRIBUTES = frozenset({"role", "aria-roledescription", "aria-label", "class", "aria-hidden", "pointer-events"})
_CONFIG = {
    "aria": False,
    "font": "system-ui, sans-serif",
    "axis": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--ink)",
        "gridColor": "var(--line)",
        "domainColor": "var(--dim)",
        "tickColor": "var(--dim)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "text": {"fontSize": 12, "color": "var(--ink)"},
    "view": {"stroke": None},
}


class _Draws(Protocol):
    def __call__(self, vl_spec: dict[str, Any]) -> str: ...


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its name, how long it is, what stands behind it, and the page's variable that colours it.

    Attributes:
        part: of `value`, as a darker piece at the beginning; None for a bar of one piece.
    """

    label: str
    value: float
    says: str
    colour: str = "--c1"
    part: float | None = None


class Charts:
    """Draws the charts of one page; without vl-convert there are none, and `missing` is True."""

    def __init__(self) -> None:
        try:
            from vl_convert import vegalite_to_svg  # pyright: ignore[reportUnknownVariableType]
        except ImportError:
            self._draw: _Draws | None = None
        else:
            self._draw = cast("_Draws", vegalite_to_svg)  # a compiled module without types
        self._n = 0

    @property
    def missing(self) -> bool:
        """True if there is nothing to draw with."""
        return self._draw is None

    def bars(self, title: str, says: str, bars: Sequence[Bar]) -> Html:
        """Bars below each other.

        Args:
            says: what the chart shows, in words, for those who do not see it.
        """
        values = [
            {
                "i": i,
                "label": _clipped(bar.label),
                "value": bar.value,
                "part": bar.value if bar.part is None else bar.part,
                "says": plain(bar.says),
                "colour": f"var({bar.colour})",
            }
            for i, bar in enumerate(bars)
        ]
        place = {"field": "i", "type": "ordinal", "axis": None, "scale": {"paddingInner": 0.25}}
        colour = {"field": "colour", "type": "nominal", "scale": None}
        length = {"type": "quantitative", "axis": None, "title": None}
        layers: list[Any] = [
            {"mark": {"type": "bar"}, "encoding": {"x": {"field": "part", **length}, "color": colour}},
            {
                "mark": {"type": "text", "align": "right", "baseline": "middle", "x": -8},
                "encoding": {"text": {"field": "label"}},
            },
            {
                "mark": {"type": "text", "align": "left", "baseline": "middle", "dx": 6},
                "encoding": {"x": {"field": "value", **length}, "text": {"field": "says"}},
            },
        ]
        if any(bar.part is not None for bar in bars):
            mark = {"type": "bar", "fill": "var(--pale)", "stroke": "var(--dim)", "strokeWidth": 1}
            layers.insert(0, {"mark": mark, "encoding": {"x": {"field": "value", **length}}})
        return self._drawn(
            {
                "width": 430,
                "padding": {"left": 44, "top": 5, "right": 24, "bottom": 5},  # letters may be wider where they are read
                "height": {"step": 24},
                "data": {"values": values},
                "encoding": {"y": place},
                "layer": layers,
            },
            title,
            says,
        )

    def histogram(self, title: str, says: str, spread: Spread, unit: str, limit: int | None = None) -> Html:
        """How numbers are spread. A limit is drawn in, with where half and 95 % of them end; one that lies far to the
        right is named there, for else there would be nothing to see beside it.
        """
        bins: list[Bin] = spread.bins(40)
        shift = 0.5 if all(one.end - one.start == 1 for one in bins) else 0.0  # a number stands below its bar's middle
        values = [{"start": one.start - shift, "end": one.end - shift, "n": one.n} for one in bins]
        start, end = (bins[0].start, bins[-1].end) if bins else (0, 1)
        near = limit is not None and limit <= 2 * end
        marks = [{"at": spread.at(share), "says": f"{share:.0%}", "right": share < 0.9} for share in (0.5, 0.95)]
        domain = [0 if near else start - shift, max(end - shift, limit or 0) if near else end - shift]
        axis: dict[str, Any] = {"format": ",d", "tickCount": 8, "grid": False, "labelOverlap": True}
        if shift:
            axis["values"] = list(range(start, end, 1 + (end - start) // 20))
        highest = max((one.n for one in bins), default=1)
        layers: list[Any] = [
            {
                "mark": {"type": "bar", "color": "var(--c1)", "binSpacing": 1},
                "encoding": {
                    "x": {
                        "field": "start",
                        "bin": {"binned": True},
                        "type": "quantitative",
                        "title": unit,
                        "axis": axis,
                        "scale": {"domain": domain},
                    },
                    "x2": {"field": "end"},
                    "y": {
                        "field": "n",
                        "type": "quantitative",
                        "title": None,
                        "axis": {"format": ",d", "tickCount": min(5, highest)},
                    },
                },
            }
        ]
        if limit is not None:  # of numbers that have one, people ask how many are near it
            x = {"field": "at", "type": "quantitative"}
            told = {"values": marks}
            layers.append({"data": told, "mark": {"type": "rule", "color": "var(--dim)"}, "encoding": {"x": x}})
            for align, shift_x in (("right", -3), ("left", 3)):
                layers.append(
                    {
                        "data": told,
                        "transform": [{"filter": f"datum.right == {str(align == 'right').lower()}"}],
                        "mark": {"type": "text", "align": align, "dx": shift_x, "y": -6, "color": "var(--dim)"},
                        "encoding": {"x": x, "text": {"field": "says"}},
                    }
                )
        if limit is not None and not near:
            far = {"type": "text", "align": "right", "x": 600, "y": 8, "color": "var(--bad)"}
            layers.append(
                {
                    "data": {"values": [{"says": f"limit {limit:,} →"}]},
                    "mark": far,
                    "encoding": {"text": {"field": "says"}},
                }
            )
        if near:
            rule = {"values": [{"limit": limit, "says": f"limit {limit:,}"}]}
            x = {"field": "limit", "type": "quantitative"}
            dashed = {"type": "rule", "color": "var(--bad)", "strokeDash": [5, 4], "strokeWidth": 2}
            layers.append({"data": rule, "mark": dashed, "encoding": {"x": x}})
            text = {"type": "text", "align": "right", "dx": -5, "y": 8, "color": "var(--bad)"}
            layers.append({"data": rule, "mark": text, "encoding": {"x": x, "text": {"field": "says"}}})
        return self._drawn({"width": 600, "height": 170, "data": {"values": values}, "layer": layers}, title, says)

    def _drawn(self, spec: dict[str, Any], title: str, says: str) -> Html:
        if self._draw is None:
            return Html("")
        self._n += 1
        spec = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "background": None, **spec}
        drawn = ET.fromstring(self._draw({**spec, "config": _CONFIG}))
        for node in drawn.iter():
            for name in _ATTRIBUTES & node.attrib.keys():
                del node.attrib[name]
        inside = b"".join(ET.tostring(_without_namespace(node), encoding="utf-8") for node in drawn).decode()
        name = f"chart{self._n}"
        about = el("title", title, id=f"{name}t") + el("desc", says, id=f"{name}d")
        return el(
            "svg",
            Html(about),
            Html(inside),
            viewBox=drawn.attrib["viewBox"],
            width=drawn.attrib["width"],
            role="img",
            aria_labelledby=f"{name}t {name}d",
        )


def _without_namespace(node: ET.Element) -> ET.Element:
    for one in node.iter():
        one.tag = one.tag.removeprefix(f"{{{_SVG}}}")
    return node


def _clipped(label: str) -> str:
    label = plain(label).replace("\n", "\\n").replace("\t", "\\t")
    return label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"
