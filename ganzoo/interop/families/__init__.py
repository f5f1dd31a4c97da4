"""Original networks, family by family: names, layouts and settings of their code, and what they become here."""
