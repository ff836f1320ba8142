"""A panel as matplotlib has it, before it becomes a file."""

from matplotlib.figure import Figure


def drawn(panel):
    axes = Figure(figsize=panel.size).subplots()
    panel.draw(axes)
    return axes
