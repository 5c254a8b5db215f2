"""Medians as a table for people, and as one chart (SVG)."""
import statistics
from xml.sax.saxutils import escape

COLOURS = {"plain": "#9a9a9a", "floor": "#7aa6c2", "floor-device": "#b5cedd", "gocryptfs": "#d9a441", "lapse": "#2e7d4f", "lapse-device": "#8fbf9f"}


def median(values):
    return statistics.median(values) if values else None


def number(v):
    return f"{v:,.0f}" if v >= 100 else f"{v:.1f}" if v >= 1 else f"{v:.3f}"


def table(phases, systems, rates, base):
    """Lines of a Markdown table: the median rate of each, and how many times that of `base` it is."""
    lines = ["| | " + " | ".join(systems) + " |", "|---|" + "---|" * len(systems)]
    for phase, unit in phases:
        cells = []
        reference = median(rates.get((base, phase), []))
        for s in systems:
            m = median(rates.get((s, phase), []))
            if m is None:
                cells.append("–")
            elif s == base or not reference:
                cells.append(number(m))
            else:
                cells.append(f"{number(m)} ({m / reference:.2f} ×)")
        lines.append(f"| {phase}, {unit} | " + " | ".join(cells) + " |")
    return lines


def processor_table(phases, systems, costs):
    lines = ["| µs of processor, program + daemon | " + " | ".join(systems) + " |", "|---|" + "---|" * len(systems)]
    for phase, _ in phases:
        cells = []
        for s in systems:
            pairs = costs.get((s, phase), [])
            cells.append(f"{median([p for p, _ in pairs]):.1f} + {median([d for _, d in pairs]):.1f}" if pairs else "–")
        lines.append(f"| {phase} | " + " | ".join(cells) + " |")
    return lines


def padded(lines):
    """The same table with its columns under each other."""
    rows = [[c.strip() for c in l.strip("|").split("|")] for l in lines if not l.startswith("|---")]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))) for r in rows]


def chart(phases, systems, rates, base, title):
    """Bars: how many times the rate of `base`."""
    bar, gap, left, width = 13, 12, 170, 560
    found = {(s, p): median(rates.get((s, p), [])) for s in systems for p, _ in phases}
    ratios = {k: v / found[base, k[1]] for k, v in found.items() if v and found.get((base, k[1]))}
    shown = [(p, [s for s in systems if (s, p) in ratios]) for p, _ in phases]
    most = min(max(ratios.values(), default=1), 6)
    height = 60 + sum(len(ss) * bar + gap for _, ss in shown if ss) + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{height}" font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>', f'<text x="10" y="20" font-size="14">{escape(title)}</text>']
    x = 10
    for s in systems:
        out.append(f'<rect x="{x}" y="30" width="10" height="10" fill="{COLOURS.get(s, "#555")}"/><text x="{x + 14}" y="39">{escape(s)}</text>')
        x += 30 + 7 * len(s)
    y = 60
    one = left + width / most
    bottom = height - 30
    out.append(f'<line x1="{one:.1f}" y1="50" x2="{one:.1f}" y2="{bottom}" stroke="#444" stroke-dasharray="3 3"/>')
    out.append(f'<text x="{one:.1f}" y="{bottom + 14}" text-anchor="middle">{escape(base)} = 1</text>')
    for phase, those in shown:
        if not those:
            continue
        out.append(f'<text x="{left - 8}" y="{y + len(those) * bar / 2 + 4:.1f}" text-anchor="end">{escape(phase)}</text>')
        for s in those:
            r = ratios[s, phase]
            w = min(r, most) / most * width
            out.append(f'<rect x="{left}" y="{y}" width="{w:.1f}" height="{bar - 2}" fill="{COLOURS.get(s, "#555")}"/>')
            out.append(f'<text x="{left + w + 4:.1f}" y="{y + bar - 4}" font-size="9">{r:.2f}</text>')
            y += bar
        y += gap
    out.append("</svg>")
    return "\n".join(out) + "\n"
