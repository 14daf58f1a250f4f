"""What can look at the pages of a PDF and say what lies where: models in this process, and engines outside it."""

TIERS = ("flash", "basic", "standard", "advanced")  # of MinerU; flash: without models
