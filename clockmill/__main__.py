"""``python -m clockmill`` is the program ``clockmill``."""

from clockmill.cli.main import main

main()
