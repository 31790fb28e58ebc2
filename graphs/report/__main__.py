"""``python -m graphs.report``."""

import sys

from graphs.report.html_report import main

sys.exit(main())
