"""From a plan to codes: windows, levels, chance and the draw itself."""
