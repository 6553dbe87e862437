"""`python -m prospect_rl.experiments <command>` runs the command line, see `experiments.cli.main`."""

import sys

from prospect_rl.experiments.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
