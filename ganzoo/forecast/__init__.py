"""What a run takes on machines that are not there: its programs compiled for them, and read.

``forecast`` is what ``ganzoo plan`` answers with; ``compiled_counts`` tells one compiled program from another.
"""

from ganzoo.forecast.counts import Counts
from ganzoo.forecast.forecast import Forecast, compiled_counts, forecast
from ganzoo.forecast.topologies import Topology, parse_topology

__all__ = ["Counts", "Forecast", "Topology", "compiled_counts", "forecast", "parse_topology"]
