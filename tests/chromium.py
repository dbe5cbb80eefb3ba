"""The browser that tests and pictures use; CHROMIUM in the environment names another."""

import os
import shutil

# The headless build, where there is one: without windows of its own it needs two thirds of the time.
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
