__version__ = "0.1.0"

import os

# threads that wait sleep, see foundations/04_compute; before any library starts threads
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
