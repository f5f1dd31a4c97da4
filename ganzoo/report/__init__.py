"""One page that shows runs side by side: settings, curves, samples over time, and nearest training images."""

from ganzoo.report.page import write_report

__all__ = ["write_report"]
