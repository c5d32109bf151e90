"""Design explorer for Parameter-Inverted Image Pyramid Networks (PIIP)."""
