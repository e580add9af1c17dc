__version__ = "0.1.0"

import os

# threads that wait spin briefly, see foundations/04_compute; before any library starts threads
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
