"""Pictures: nested boxes as SVG or PNG, several stacks side by side, and timelines.

The boxes are laid out here into rectangles, texts and arrows, which need nothing; SVG is those as text. Only PNG and
timelines need matplotlib.
"""

from polyvox.pictures.boxes import Box, boxes
from polyvox.pictures.charts import alignment, timeline
from polyvox.pictures.shapes import Drawing, png, svg
from polyvox.pictures.stacks import Beneath, Column, Part, stacks

__all__ = ["Beneath", "Box", "Column", "Drawing", "Part", "alignment", "boxes", "png", "stacks", "svg", "timeline"]
