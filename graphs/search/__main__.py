"""``python -m graphs.search``."""

import sys

from graphs.command_line import main

sys.exit(main())
