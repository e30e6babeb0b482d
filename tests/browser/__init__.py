"""The dashboard in Debian's Chromium: the whole path, accessibility, two widths, light and dark."""
