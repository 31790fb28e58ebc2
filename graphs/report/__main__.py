"""``python -m graphs.report``."""

import sys

from graphs.cli.report_command import main

sys.exit(main())
