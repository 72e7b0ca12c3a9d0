"""The counterexample as a sequence diagram: Mermaid for pages that render it, and SVG."""

from html import escape
from textwrap import wrap

from holdfast.sequence.telling import MARKS, WORLD, Cell, actors_of, cells, marks
from properties.exploration.shrinking import Counterexample

COLUMN_PX = 250
LEFT_PX = 40
LINE_PX = 16
TEXT_CHARACTERS = 34
STORES = "stores"


def mermaid(found: Counterexample) -> str:
    """A Mermaid sequence diagram, marked turns highlighted."""
    names = actors_of(found)
    lines = ["sequenceDiagram"]
    lines += [f"    participant {name}" for name in names if name != WORLD]
    lines.append(f"    participant {STORES} as Redis, database, provider")
    for cell in cells(found):
        text = _plain(f"{cell.mark} {cell.text}".strip())
        if cell.actor == WORLD:
            lines.append(f"    Note over {STORES}: {text}")
        elif cell.mark:
            lines += [
                "    rect rgb(255, 236, 200)",
                f"    {cell.actor}->>{STORES}: {text}",
                "    end",
            ]
        else:
            lines.append(f"    {cell.actor}->>{STORES}: {text}")
        if cell.answer:
            lines.append(f"    Note right of {cell.actor}: {_plain(cell.answer)}")
    lines.append(f"    Note over {STORES}: {_plain(conclusion(found))}")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text without what Mermaid would take for syntax."""
    for character, instead in (("#", "no. "), (";", ","), ("{", "("), ("}", ")"), ("\n", " ")):
        text = text.replace(character, instead)
    return text


def conclusion(found: Counterexample) -> str:
    """The invariant and how it is violated."""
    return f"{found.invariant} VIOLATED: {found.violation.message}"


def svg(found: Counterexample) -> str:
    """A stand-alone SVG: lifelines, one box a cell, marked ones coloured."""
    names = actors_of(found)
    width = LEFT_PX + COLUMN_PX * len(names)
    y = 60
    body: list[str] = []
    for cell in cells(found):
        lines = _lines(cell)
        height = LINE_PX * len(lines) + 10
        body.append(_box(cell, names.index(cell.actor), y, height, lines))
        y += height + 8
    footer = [*_legend(found), *wrap(conclusion(found), width // 8)]
    y += 10
    for line in footer:
        y += LINE_PX
        body.append(f'<text x="{LEFT_PX}" y="{y}">{escape(line)}</text>')
    heads = [_lifeline(name, index, y) for index, name in enumerate(names)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y + 20}"'
        ' font-family="sans-serif" font-size="12">\n'
        f'<rect width="{width}" height="{y + 20}" fill="white"/>\n'
        + "\n".join([*heads, *body])
        + "\n</svg>\n"
    )


def _legend(found: Counterexample) -> list[str]:
    return [f"{symbol} {text}" for symbol, text in zip(MARKS, marks(found).values(), strict=False)]


def _lines(cell: Cell) -> list[str]:
    lines = wrap(f"{cell.mark} {cell.text}".strip(), TEXT_CHARACTERS)
    return lines + (wrap(f"=> {cell.answer}", TEXT_CHARACTERS) if cell.answer else [])


def _middle(index: int) -> int:
    return LEFT_PX + COLUMN_PX * index + (COLUMN_PX - 20) // 2


def _lifeline(name: str, index: int, bottom: int) -> str:
    x = _middle(index)
    title = escape(name or "what strikes")
    return (
        f'<text x="{x}" y="24" text-anchor="middle" font-weight="bold">{title}</text>\n'
        f'<line x1="{x}" y1="34" x2="{x}" y2="{bottom - 40}" stroke="#999"'
        ' stroke-dasharray="4 3"/>'
    )


def _box(cell: Cell, index: int, y: int, height: int, lines: list[str]) -> str:
    fill = "#ffe4b3" if cell.mark else "#fbdcdc" if cell.actor == WORLD else "#eef3fb"
    x = LEFT_PX + COLUMN_PX * index
    texts = "".join(
        f'<text x="{x + 6}" y="{y + LINE_PX * (number + 1)}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return (
        f'<rect x="{x}" y="{y}" width="{COLUMN_PX - 20}" height="{height}" rx="4"'
        f' fill="{fill}" stroke="#888"/>{texts}'
    )
