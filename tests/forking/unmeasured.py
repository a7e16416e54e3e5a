"""The environment of programs that `make coverage` must not measure."""

import os

# Another user may not write down which lines were covered, and what is measured imports more than it needs.
UNMEASURED = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
