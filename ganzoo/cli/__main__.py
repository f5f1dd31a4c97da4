"""``python -m ganzoo.cli`` is the ``ganzoo`` command."""

import sys

from ganzoo.cli import main

if __name__ == "__main__":
    sys.exit(main())
